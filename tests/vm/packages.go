package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// kernelLibraries are the modules by which Go programs speak to the kernel. A
// test that links one of them is a test of the kernel. tests/arrows_test.go
// has the same list.
var kernelLibraries = []string{
	"github.com/google/nftables", "github.com/mdlayher/netlink", "github.com/moby/ipvs", "github.com/ti-mo",
	"github.com/vishvananda/netlink", "github.com/vishvananda/netns",
}

// namespaces is our own package of the kernel that links none of them.
const namespaces = "github.com/culvertnet/culvert/netns"

// testPackage is a package whose tests are to run in the guest.
type testPackage struct {
	importPath string
	dir        string // relative to the module's root
	binary     string // path of the test binary
	buildErr   string // why there is none

	// A module of its own has its folder, what of it needs the guest's kernel, and the tag of files with that alone. Its tests
	// run culvert.
	module, run, tag string
}

// etcdTests are of a module that go list does not find from the root.
var etcdTests = testPackage{
	importPath: "github.com/culvertnet/culvert/tests/etcd", dir: "tests/etcd", module: "tests/etcd", run: "^TestLostBackends$", tag: "fullkernel",
}

// goCommand returns a go command that builds for a guest without C libraries.
func goCommand(root string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

// moduleRoot returns the folder of the module's go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// listed is what "go list -test -json" says of a test binary.
type listed struct {
	ImportPath string
	Dir        string
	Deps       []string
}

// findPackages returns the packages with tests that match the patterns, or
// without patterns all that have tests of the kernel.
func findPackages(root string, patterns []string) ([]testPackage, error) {
	kernelOnly := len(patterns) == 0
	if kernelOnly {
		patterns = []string{"./...", "./" + etcdTests.dir}
	}
	rest := slices.DeleteFunc(slices.Clone(patterns), func(p string) bool { return p == "./"+etcdTests.dir })
	var others []testPackage
	if len(rest) < len(patterns) {
		others = []testPackage{etcdTests}
	}
	if len(rest) == 0 {
		return others, nil
	}
	args := append([]string{"list", "-e", "-test", "-json=ImportPath,Dir,Deps"}, rest...)
	cmd := goCommand(root, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w: %s", err, stderr.String())
	}
	packages, err := parseList(root, bytes.NewReader(out), kernelOnly)
	return append(packages, others...), err
}

func parseList(root string, r io.Reader, kernelOnly bool) ([]testPackage, error) {
	var packages []testPackage
	for dec := json.NewDecoder(r); ; {
		var one listed
		if err := dec.Decode(&one); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		path, isTest := strings.CutSuffix(one.ImportPath, ".test")
		if !isTest || kernelOnly && !slices.ContainsFunc(one.Deps, isKernelPackage) {
			continue
		}
		dir, err := filepath.Rel(root, one.Dir)
		if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		packages = append(packages, testPackage{importPath: path, dir: dir})
	}
}

// isKernelPackage reports whether an import path, with or without go list's
// mark for the test it was compiled for, makes a test one of the kernel.
func isKernelPackage(path string) bool {
	path, _, _ = strings.Cut(path, " ")
	return path == namespaces || slices.ContainsFunc(kernelLibraries, func(lib string) bool {
		return path == lib || strings.HasPrefix(path, lib+"/")
	})
}

// buildTests builds the packages' test binaries into dir. What does not build
// is noted in its package.
func buildTests(root, dir string, packages []testPackage) {
	// Every build has parallel steps of its own; linking has not.
	slots := make(chan struct{}, 2)
	var group sync.WaitGroup
	for i := range packages {
		p := &packages[i]
		p.binary = filepath.Join(dir, strings.ReplaceAll(p.dir, "/", "-")+".test")
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			// Without symbol tables the initramfs is a third smaller; traces keep their lines.
			cmd := goCommand(filepath.Join(root, p.module), "test", "-c", "-ldflags=-s -w", "-tags="+p.tag, "-o", p.binary, p.importPath)
			if out, err := cmd.CombinedOutput(); err != nil {
				p.buildErr = fmt.Sprintf("%s%v\n", out, err)
			}
		})
	}
	group.Wait()
}

// buildProgram builds one program of ours for the guest.
func buildProgram(root, output, path string) error {
	cmd := goCommand(root, "build", "-trimpath", "-ldflags=-s -w", "-o", output, path)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", path, err, out)
	}
	return nil
}
