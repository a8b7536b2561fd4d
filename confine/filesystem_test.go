package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// request tells this binary, run again, what to try when it is confined.
const request = "CONFINE_TEST"

// trial is what to try, in one variable of the environment.
type trial struct {
	Writable  []string
	Write     []string // paths
	Namespace string
}

func TestMain(m *testing.M) {
	text := os.Getenv(request)
	if text == "" {
		os.Exit(m.Run())
	}
	if err := try(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// try confines the process and prints what could be written, as JSON.
func try(text string) error {
	var t trial
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	if err := FileSystem(t.Writable...); err != nil {
		return err
	}
	out := make(map[string]bool)
	for _, path := range t.Write {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil && !errors.Is(err, unix.EROFS) {
			return err
		}
		if out[path] = err == nil; out[path] {
			_ = f.Close()
		}
	}
	ns, err := netns.Create(t.Namespace)
	if err != nil {
		return err
	}
	if err := ns.Close(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// TestFileSystem has a process confine itself: it writes what it may and nothing else, and the namespace that it makes is there for others
// and outlives it.
func TestFileSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts")
	}
	dir := t.TempDir()
	folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "file")
	if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		filepath.Join(folder, "x"): true, file: true, "/proc/sys/net/ipv4/ip_forward": true,
		filepath.Join(dir, "x"): false, "/proc/sys/vm/drop_caches": false, "/proc/sys/kernel/core_pattern": false, "/run/culvert-test": false,
	}
	trial := trial{Writable: []string{folder, file}, Namespace: fmt.Sprintf("confine%d", os.Getpid())}
	for path := range want {
		trial.Write = append(trial.Write, path)
	}
	text, err := json.Marshal(trial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Remove(trial.Namespace); err != nil {
			t.Error(err)
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), request+"="+string(text))
	cmd.Stderr = os.Stderr
	printed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]bool
	if err := json.Unmarshal(printed, &got); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	for path, may := range want {
		if got[path] != may {
			t.Errorf("%s written: %v, want %v", path, got[path], may)
		}
	}
	ns, err := netns.Open(trial.Namespace)
	if err != nil {
		t.Fatalf("the namespace that it made: %v", err)
	}
	if err := ns.Close(); err != nil {
		t.Error(err)
	}
	// This process has its file system as ever.
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Error(err)
	}
}

func TestWithin(t *testing.T) {
	for path, want := range map[string]bool{"/run/netns": true, "/run/netns/a": true, "/run/netnsx": false, "/run": false, "/": false} {
		if got := within(path, "/run/netns"); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
