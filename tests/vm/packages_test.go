package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const listing = `
{"ImportPath":"example.org/m/config","Dir":"/src/m/config"}
{"ImportPath":"example.org/m/config.test","Dir":"/src/m/config","Deps":["fmt"]}
{"ImportPath":"example.org/m/nft.test","Dir":"/src/m/nft","Deps":["fmt","github.com/google/nftables/expr"]}
{"ImportPath":"example.org/m/lab/x.test","Dir":"/src/m/lab/x","Deps":["github.com/vishvananda/netlink [example.org/m/lab/x.test]"]}
{"ImportPath":"example.org/m/ns.test","Dir":"/src/m/ns","Deps":["github.com/culvertnet/culvert/netns [example.org/m/ns.test]"]}
{"ImportPath":"example.org/m/nftables.test","Dir":"/src/m/nftables","Deps":["github.com/google/nftablesque"]}
`

func TestParseList(t *testing.T) {
	for _, tt := range []struct {
		kernelOnly bool
		want       []string
	}{
		{true, []string{"nft", "lab/x", "ns"}},
		{false, []string{"config", "nft", "lab/x", "ns", "nftables"}},
	} {
		packages, err := parseList("/src/m", strings.NewReader(listing), tt.kernelOnly)
		if err != nil {
			t.Fatal(err)
		}
		var dirs []string
		for _, p := range packages {
			dirs = append(dirs, p.dir)
			if p.importPath != "example.org/m/"+p.dir {
				t.Errorf("%s has the import path %s", p.dir, p.importPath)
			}
		}
		if !slices.Equal(dirs, tt.want) {
			t.Errorf("kernelOnly %v: got %v, want %v", tt.kernelOnly, dirs, tt.want)
		}
	}
	if _, err := parseList("/", strings.NewReader("{"), true); err == nil {
		t.Error("a listing that is cut off is no error")
	}
}

// TestOtherModule finds the tests of a module of its own, which go list does not, and runs what of them is for the guest.
func TestOtherModule(t *testing.T) {
	packages, err := findPackages("..", []string{"./tests/etcd"})
	if err != nil || len(packages) != 1 || packages[0] != etcdTests {
		t.Fatalf("found %+v, %v", packages, err)
	}
	for run, want := range map[string]string{"": "-test.run=" + etcdTests.run, "Fabric": "-test.run=Fabric"} {
		if units, _ := testUnits(packages, options{run: run}); !slices.Contains(units[0].Argv, want) {
			t.Errorf("-run %q gives %q, want %s", run, units[0].Argv, want)
		}
	}
}

func TestTestUnits(t *testing.T) {
	packages := []testPackage{{importPath: "m/lab/x", dir: "lab/x", binary: "/build/lab-x.test"}}
	units, files := testUnits(packages, options{run: "Redirect", update: true, testTimeout: time.Minute})
	want := []string{"/tests/lab-x.test", "-test.v=test2json", "-test.paniconexit0", "-test.timeout=1m0s", "-test.run=Redirect", "-update"}
	if len(units) != 1 || !slices.Equal(units[0].Argv, want) || units[0].Dir != "/src/lab/x" {
		t.Errorf("got %+v", units)
	}
	if files["/tests/lab-x.test"] != "/build/lab-x.test" {
		t.Errorf("got files %v", files)
	}
}

func TestCommandUnits(t *testing.T) {
	for _, tt := range []struct{ command, want string }{
		{"culvert lab demo", "/usr/bin/culvert lab demo"},
		{"/tests/x -v", "/tests/x -v"},
	} {
		units := commandUnits(strings.Fields(tt.command))
		if got := strings.Join(units[0].Argv, " "); got != tt.want || !units[0].SplitStderr {
			t.Errorf("%s: got %+v", tt.command, units)
		}
	}
	if _, _, err := buildCommand("", "", " "); err == nil {
		t.Error("an empty command is no error")
	}
}
