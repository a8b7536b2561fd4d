package initramfs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWriterHeader(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	w.Bytes("/etc/x", 0o640, []byte("hello"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if int64(buf.Len()) != w.Size() {
		t.Errorf("Size is %d, %d bytes were written", w.Size(), buf.Len())
	}
	archive := buf.String()
	i := strings.Index(archive, "etc/x\x00")
	if i < 110 {
		t.Fatalf("no entry etc/x in %q", archive)
	}
	header := archive[i-110 : i]
	if (i-110)%4 != 0 {
		t.Errorf("header at %d, want a multiple of 4", i-110)
	}
	for _, field := range []struct {
		name  string
		start int
		want  string
	}{
		{"magic", 0, "070701"},
		{"mode", 6 + 8, "000081A0"},
		{"nlink", 6 + 4*8, "00000001"},
		{"filesize", 6 + 6*8, "00000005"},
		{"namesize", 6 + 11*8, "00000006"},
	} {
		if got := header[field.start:][:len(field.want)]; got != field.want {
			t.Errorf("%s is %s, want %s", field.name, got, field.want)
		}
	}
	if data := archive[i+6 : i+6+5]; data != "hello" {
		t.Errorf("data is %q, want hello", data)
	}
}

// TestWriterAgainstCpio lets GNU cpio unpack what the Writer wrote.
func TestWriterAgainstCpio(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("needs the program cpio")
	}
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, bytes.Repeat([]byte("abc"), 12345), 0o600); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := NewWriter(&buf)
	w.Bytes("/a/b/odd", 0o600, []byte("12345"))
	w.Bytes("/a/b/odd", 0o600, []byte("the second of a name is left out"))
	w.Copy("/a/copy", 0o755, source)
	w.Link("/a/link", "b/odd")
	w.Dir("/empty")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	cmd := exec.Command("cpio", "--extract", "--make-directories", "--no-absolute-filenames", "--nonmatching", "dev/*")
	cmd.Dir = dir
	cmd.Stdin = &buf
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	want, _ := os.ReadFile(source)
	if got, err := os.ReadFile(filepath.Join(dir, "a/copy")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a/copy has %d bytes (%v), want the source's %d", len(got), err, len(want))
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a/link")); err != nil || string(got) != "12345" {
		t.Errorf("a/link leads to %q (%v), want 12345", got, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a/copy")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("a/copy: %v %v, want mode 0755", info, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "empty")); err != nil || !info.IsDir() {
		t.Errorf("empty: %v, want a folder", err)
	}
}

func TestWriterKeepsFirstFailure(t *testing.T) {
	w := NewWriter(&bytes.Buffer{})
	w.Copy("/x", 0o644, filepath.Join(t.TempDir(), "missing"))
	w.Tool("no-such-program")
	w.Bytes("/y", 0o644, nil)
	err := w.Close()
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "add /x") {
		t.Errorf("Close returned %v, want the missing source of /x", err)
	}
}

func TestParseLdd(t *testing.T) {
	got, err := parseLdd("\tlinux-vdso.so.1 (0x7ffd)\n" +
		"\tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x7f1)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x7f2)\n")
	want := []string{"/lib/x86_64-linux-gnu/libmnl.so.0", "/lib64/ld-linux-x86-64.so.2"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := parseLdd("\tstatically linked\n"); err != nil || len(got) != 0 {
		t.Errorf("a static program: got %v, %v, want nothing", got, err)
	}
	if _, err := parseLdd("\tlibx.so => not found\n"); err == nil {
		t.Error("a missing library is no error")
	}
}
