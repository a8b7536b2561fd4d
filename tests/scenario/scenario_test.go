package scenario

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/script"
)

func TestNAT(t *testing.T) { play(t, "testdata/nat/*.txtar") }

func TestVIP(t *testing.T) { play(t, "testdata/vip/*.txtar") }

// play plays all scenarios whose files match the pattern.
func play(t *testing.T, pattern string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v, %v", files, err)
	}
	tools := live.Tools()
	if os.Getenv("CULVERT_KERNEL") != "" {
		tools.Patience = 5 // an emulated machine
	}
	script.Run(t, tools, files...)
}
