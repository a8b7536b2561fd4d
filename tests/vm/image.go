package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/culvertnet/culvert/tests/vm/initramfs"
	"github.com/culvertnet/culvert/tests/vm/kernel"
	"github.com/culvertnet/culvert/tests/vm/wire"
)

// Places in the guest.
const (
	guestSources  = "/src"
	guestTests    = "/tests"
	guestModules  = "/modules"
	guestPrograms = initramfs.ToolDir
)

// tools are the host's programs that tests ask for a second opinion.
var tools = []string{"nft", "ip", "bridge", "tc", "ss", "ipvsadm", "conntrack", "tcpdump", "sh", "cat", "sleep", "true", "false"}

// guestEnv is the environment of everything that the guest runs.
var guestEnv = []string{
	"PATH=" + guestPrograms, "HOME=/root", "USER=root", "TMPDIR=/tmp", "LANG=C.UTF-8", "TERM=dumb",
	"CULVERT_KERNEL=full",
}

// image is what goes into an initramfs.
type image struct {
	plan    wire.Plan
	modules []*kernel.Module
	init    string            // path of the init program
	files   map[string]string // programs by their path in the guest
	tools   []string
	sources string // work tree; empty for none
}

// write writes the initramfs and returns its size in bytes.
func (img image) write(name string) (int64, error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, fmt.Errorf("write initramfs: %w", err)
	}
	defer f.Close()
	buffered := bufio.NewWriterSize(f, 1<<20)
	w := initramfs.NewWriter(buffered)
	img.fill(w)
	if err := errors.Join(w.Close(), buffered.Flush(), f.Close()); err != nil {
		return 0, fmt.Errorf("write initramfs: %w", err)
	}
	return w.Size(), nil
}

func (img image) fill(w *initramfs.Writer) {
	w.Copy("/init", 0o755, img.init)
	for guest, host := range img.files {
		w.Copy(guest, 0o755, host)
	}
	fillSystem(w)
	for _, tool := range img.tools {
		w.Tool(tool)
	}
	plan := img.plan
	for _, m := range img.modules {
		name := path.Join(guestModules, m.Name+".ko")
		w.Bytes(name, 0o644, m.Bytes())
		plan.Modules = append(plan.Modules, name)
	}
	plan.Env = guestEnv
	if img.sources != "" {
		copySources(w, img.sources)
	}
	text, err := json.Marshal(plan)
	if err != nil {
		panic(err) // a Plan has only strings
	}
	w.Bytes(wire.PlanPath, 0o600, text)
}

// fillSystem adds what programs expect of a root file system.
func fillSystem(w *initramfs.Writer) {
	w.Dir("/root")
	for _, link := range []string{"/bin", "/sbin", "/usr/sbin"} {
		w.Link(link, guestPrograms)
	}
	// tcpdump and ip look these names up.
	w.Bytes("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\ntcpdump:x:100:100::/root:/bin/sh\n"))
	w.Bytes("/etc/group", 0o644, []byte("root:x:0:\ntcpdump:x:100:\n"))
	w.Bytes("/etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	w.Bytes("/etc/nsswitch.conf", 0o644, []byte("hosts: files\n"))
	for _, name := range []string{"/etc/protocols", "/etc/services"} {
		if _, err := os.Stat(name); err == nil {
			w.Copy(name, 0o644, name)
		}
	}
}

// copySources adds the work tree, so that tests find their testdata and
// whatever else of the repository they read.
func copySources(w *initramfs.Writer, root string) {
	w.Dir(guestSources)
	for _, name := range sourceFiles(root) {
		host := filepath.Join(root, name)
		info, err := os.Lstat(host)
		if err != nil || !info.Mode().IsRegular() {
			continue // removed, or a link
		}
		// Read at once: somebody may be writing it.
		data, err := os.ReadFile(host)
		if err != nil {
			continue
		}
		w.Bytes(path.Join(guestSources, name), info.Mode(), data)
	}
}

// sourceFiles lists the work tree's files: with git those it tracks and those it
// does not ignore, without git all.
func sourceFiles(root string) []string {
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		return strings.Split(string(bytes.TrimSuffix(out, []byte{0})), "\x00")
	}
	var names []string
	_ = filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == ".git" || p == filepath.Join(root, "build")) {
			return fs.SkipDir
		}
		if rel, relErr := filepath.Rel(root, p); err == nil && relErr == nil {
			names = append(names, rel)
		}
		return nil
	})
	return names
}
