package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMakeLock makes the file of a lock, and makes it again while somebody holds it: that waits for nobody, and takes nothing from who holds it.
func TestMakeLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "culvert.lock")
	if err := MakeLock(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	release, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := MakeLock(path); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, ErrLocked) {
		t.Errorf("another one has the lock, too: %v", err)
	}
	release()
	again, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
