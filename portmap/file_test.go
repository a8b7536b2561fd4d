package portmap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fleet.lock.yaml")
	lock, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffOf(NewLock(), lock); diff != "" {
		t.Errorf("a missing file is not an empty lock:\n%s", diff)
	}
	for _, want := range []*Lock{aLock(), NewLock()} {
		if err := WriteFile(path, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffOf(want, got); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
	}
}

func TestWriteFileKeepsModeAndLink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := WriteFile(path, NewLock()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, aLock()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info.Mode(), err)
	}
	info, err = os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if lock, err := ReadFile(path); err != nil || len(lock.Hosts) != 4 {
		t.Errorf("read %v, %v", lock, err)
	}
}

// What cannot be written leaves the old file and nothing beside it.
func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fleet.lock.yaml")
	if err := WriteFile(path, aLock()); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, &Lock{Hosts: map[string]HostID{"hv1": 0}}); err == nil {
		t.Error("a lock that cannot be encoded was written")
	}
	inside := filepath.Join(dir, "directory")
	if err := os.MkdirAll(filepath.Join(inside, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(inside, aLock()); err == nil || !strings.Contains(err.Error(), "write lock file "+inside) {
		t.Errorf("writing over a directory: %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "absent", "lock"), aLock()); err == nil {
		t.Error("writing into a directory that does not exist succeeded")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if lock, err := ReadFile(path); err != nil || len(lock.Hosts) != 4 {
		t.Errorf("the old file is gone: %v, %v", lock, err)
	}
}

func TestReadFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fleet.lock.yaml")
	if err := os.WriteFile(path, []byte("version: 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil || !strings.HasPrefix(err.Error(), path+":1: ") {
		t.Errorf("error %v", err)
	}
	if _, err := ReadFile(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "read lock file") {
		t.Errorf("reading a directory: %v", err)
	}
}
