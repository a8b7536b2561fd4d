package scenario

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/script"
)

func TestNAT(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	files, err := filepath.Glob("testdata/nat/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v, %v", files, err)
	}
	script.Run(t, live.Tools(), files...)
}
