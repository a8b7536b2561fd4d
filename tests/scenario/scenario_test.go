package scenario

import (
	"embed"
	"os"
	"path/filepath"
	"regexp"
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
	script.Run(t, live.Tools(), files...)
}

//go:embed *_test.go
var sources embed.FS

var plays = regexp.MustCompile(`\bplay\(t, "(\w+)"\)`)

// TestAllPlayed wants a test for every folder of scenarios.
func TestAllPlayed(t *testing.T) {
	played := make(map[string]bool)
	files, err := sources.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := sources.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range plays.FindAllSubmatch(text, -1) {
			played[string(m[1])] = true
		}
	}
	folders, err := os.ReadDir("testdata")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range folders {
		if !played[f.Name()] {
			t.Errorf("no test plays testdata/%s; add one that calls play", f.Name())
		}
	}
}
