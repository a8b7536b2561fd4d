package scenario

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/script"
)

func TestNAT(t *testing.T) { play(t, "nat") }

func TestVIP(t *testing.T) { play(t, "vip") }

func TestPackets(t *testing.T) { play(t, "packets") }

func TestIsolation(t *testing.T) { play(t, "isolation") }

// TestBalancer needs IPVS, which not every kernel has.
func TestBalancer(t *testing.T) {
	if err := ipvs.Load(); err != nil {
		t.Skip("needs IPVS: ", err)
	}
	play(t, "balancer")
}

// TestSticky needs IPVS too.
func TestSticky(t *testing.T) {
	if err := ipvs.Load(); err != nil {
		t.Skip("needs IPVS: ", err)
	}
	play(t, "sticky")
}

func TestDaemon(t *testing.T) { play(t, "daemon") }

// play plays the scenarios of a folder.
func play(t *testing.T, folder string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	files, err := filepath.Glob("testdata/" + folder + "/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v, %v", files, err)
	}
	tools := live.Tools()
	if os.Getenv("CULVERT_KERNEL") != "" {
		tools.Patience = 5 // an emulated machine
	}
	script.Run(t, tools, files...)
}
