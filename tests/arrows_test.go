package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/culvertnet/culvert"

// anything allows a room every import.
const anything = "*"

// arrows says which other rooms a room may import. They point down only: the
// rooms that program the kernel do not know each other, and what is pure knows
// nothing of kernels.
var arrows = map[string][]string{
	"config":    {},
	"netns":     {},
	"health":    {"config", "netns", "topology"},
	"portmap":   {"config"},
	"source":    {"config", "portmap", "topology"},
	"topology":  {"config", "portmap"},
	"trigger":   {"netns"},
	"confine":   {"netns"},
	"overlay":   {"config", "portmap", "topology", "netns"},
	"nft":       {"config", "conntrack", "portmap", "topology", "netns"},
	"ipvs":      {"config", "portmap", "topology", "netns"},
	"conntrack": {"netns"},
	"agent":     {"conntrack", "health", "config", "portmap", "topology", "netns", "overlay", "nft", "ipvs", "source", "trigger"},
	"metrics":   {"agent", "config", "ipvs", "nft", "portmap", "source", "topology"},
	"web":       {"agent", "config", "ipvs", "nft", "portmap", "topology"},
	"lab":       {"config", "portmap", "topology", "netns", "agent", "source"},
	"cmd":       {anything},
	"tests":     {anything},
}

// kernelLibraries are the modules that speak to the kernel. tests/vm/packages.go
// has the same list.
var kernelLibraries = []string{
	"github.com/google/nftables", "github.com/mdlayher/netlink", "github.com/moby/ipvs", "github.com/ti-mo",
	"github.com/vishvananda/netlink", "github.com/vishvananda/netns",
}

// prometheus are the modules that metrics alone may know.
const prometheus = "github.com/prometheus"

// pure are folders of kernel rooms that know nothing of the kernel all the same.
var pure = []string{"ipvs/maglev"}

// kernelRooms are the folders that may import kernelLibraries.
var kernelRooms = []string{"overlay", "nft", "ipvs", "trigger", "lab", "tests/vm/selftest"}

// TestKernelLibraries compares the list with that of tests/vm, which is a
// program that cannot be imported.
func TestKernelLibraries(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "vm/packages.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "kernelLibraries" {
			return true
		}
		ast.Inspect(spec.Values[0], func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok {
				text, _ := strconv.Unquote(literal.Value)
				list = append(list, text)
			}
			return true
		})
		return false
	})
	if !slices.Equal(list, kernelLibraries) {
		t.Errorf("vm/packages.go has %q, want %q", list, kernelLibraries)
	}
}

func TestArrows(t *testing.T) {
	for _, finding := range checkArrows(repository(t)) {
		t.Error(finding)
	}
}

// checkArrows returns every import that the arrows do not allow.
func checkArrows(files []source) []string {
	var findings []string
	for _, file := range files {
		if !strings.HasSuffix(file.path, ".go") {
			continue
		}
		allowed, known := arrows[file.room()]
		if !known {
			findings = append(findings, fmt.Sprintf("%s: room %q is not in the table of arrows", file.path, file.room()))
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.path, file.text, parser.ImportsOnly)
		if err != nil {
			findings = append(findings, err.Error())
			continue
		}
		for _, spec := range parsed.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser has accepted it
			}
			if why := forbidden(file, path, allowed); why != "" {
				findings = append(findings, fmt.Sprintf("%s: imports %s: %s", file.path, path, why))
			}
		}
	}
	return findings
}

// forbidden says why a file must not import path; empty if it may.
func forbidden(file source, path string, allowed []string) string {
	if slices.ContainsFunc(kernelLibraries, func(lib string) bool { return within(path, lib) }) {
		below := func(folder string) bool { return within(file.path, folder) }
		if slices.ContainsFunc(kernelRooms, below) && !slices.ContainsFunc(pure, below) {
			return ""
		}
		return "only " + strings.Join(kernelRooms, ", ") + " speak to the kernel"
	}
	if within(path, prometheus) && file.room() != "metrics" && file.room() != "tests" {
		return "only metrics knows Prometheus"
	}
	if !within(path, modulePath) {
		return ""
	}
	room, _, _ := strings.Cut(strings.TrimPrefix(path, modulePath+"/"), "/")
	if room == file.room() || slices.Contains(allowed, anything) || slices.Contains(allowed, room) {
		return ""
	}
	return fmt.Sprintf("%s may import only [%s] of ours", file.room(), strings.Join(allowed, ", "))
}

// within reports whether path is prefix or below it.
func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func TestCheckArrows(t *testing.T) {
	for _, tt := range []struct{ path, imports, want string }{
		{"config/x.go", `"fmt"`, ""},
		{"config/x.go", `"github.com/culvertnet/culvert/portmap"`, "config may import only []"},
		{"config/etcd/x.go", `"github.com/culvertnet/culvert/config"`, ""},
		{"portmap/x.go", `"github.com/culvertnet/culvert/config"`, ""},
		{"portmap/x_test.go", `"github.com/culvertnet/culvert/topology"`, "portmap may import only [config]"},
		{"nft/x.go", `o "github.com/culvertnet/culvert/overlay"`, "nft may import only"},
		{"overlay/sub/x.go", `"github.com/culvertnet/culvert/nft/sub"`, "overlay may import only"},
		{"lab/x.go", `"github.com/culvertnet/culvert/agent"`, ""},
		{"lab/x.go", `_ "github.com/culvertnet/culvert/nft"`, "lab may import only"},
		{"agent/x.go", `"github.com/culvertnet/culvert/lab"`, "agent may import only"},
		{"cmd/culvert/x.go", `"github.com/culvertnet/culvert/lab"`, ""},
		{"tests/x_test.go", `"github.com/culvertnet/culvert/nft"`, ""},
		{"nft/x.go", `"github.com/google/nftables/expr"`, ""},
		{"ipvs/x.go", `"github.com/moby/ipvs"`, ""},
		{"ipvs/maglev/x.go", `"github.com/moby/ipvs"`, "speak to the kernel"},
		{"nft/x.go", `"github.com/culvertnet/culvert/ipvs"`, "nft may import only"},
		{"topology/x.go", `"github.com/vishvananda/netlink"`, "speak to the kernel"},
		{"cmd/culvert/x.go", `"github.com/ti-mo/conntrack"`, "speak to the kernel"},
		{"agent/daemon/x.go", `"github.com/culvertnet/culvert/metrics"`, "agent may import only"},
		{"agent/x.go", `"github.com/prometheus/client_golang/prometheus"`, "only metrics knows Prometheus"},
		{"metrics/x.go", `"github.com/prometheus/client_golang/prometheus"`, ""},
		{"agent/x_test.go", `"github.com/mdlayher/netlink/nlenc"`, "speak to the kernel"},
		{"netns/x.go", `"github.com/vishvananda/netns"`, "speak to the kernel"},
		{"tests/vm/selftest/x_test.go", `"github.com/vishvananda/netlink"`, ""},
		{"tests/x_test.go", `"github.com/vishvananda/netns"`, "speak to the kernel"},
		{"util/x.go", `"fmt"`, `room "util" is not in the table`},
		{"x.go", `"fmt"`, `room "" is not in the table`},
		{"config/x.go", `not go`, "config/x.go:3"},
	} {
		text := "package x\n\nimport " + tt.imports + "\n"
		t.Run(tt.path+" "+tt.imports, func(t *testing.T) {
			expect(t, checkArrows([]source{{tt.path, text}}), tt.want)
		})
	}
}
