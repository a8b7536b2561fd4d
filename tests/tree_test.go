package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// source is a file of the repository.
type source struct {
	path string // relative to the root, with slashes
	text string
}

// room is the top-level folder of a file; empty for a file at the root.
func (s source) room() string {
	room, _, ok := strings.Cut(s.path, "/")
	if !ok {
		return ""
	}
	return room
}

// repository returns all files that git tracks or would track.
func repository(t *testing.T) []source {
	t.Helper()
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the repository's files: %v", err)
	}
	var files []source
	for name := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		path := filepath.Join("..", string(name))
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue // removed, or a link
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, source{string(name), string(text)})
	}
	if len(files) == 0 {
		t.Fatal("the repository has no files")
	}
	return files
}

// expect compares what a check found with the only finding it should have;
// empty for none.
func expect(t *testing.T, got []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(got) != 0:
		t.Errorf("found %q, want nothing", got)
	case want != "" && (len(got) != 1 || !strings.Contains(got[0], want)):
		t.Errorf("found %q, want one that says %q", got, want)
	}
}
