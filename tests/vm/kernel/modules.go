package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Module is one module of a kernel.
type Module struct {
	Name string // with underscores, as /proc/modules has it
	elf  []byte
}

// Bytes returns the module as the kernel loads it.
func (m *Module) Bytes() []byte { return m.elf }

// Modules returns the named modules and what they depend on, every module
// after those that it needs. Names that are built into the kernel are left out;
// a name that the kernel does not have is an error.
func (k *Kernel) Modules(names []string) ([]*Module, error) {
	files, err := k.files()
	if err != nil {
		return nil, err
	}
	builtin, err := k.builtin()
	if err != nil {
		return nil, err
	}
	r := &resolver{files: files, builtin: builtin, done: make(map[string]bool), unpack: prefetch(files, names)}
	for _, name := range names {
		if err := r.add(name); err != nil {
			return nil, fmt.Errorf("kernel %s: %w", k.Release, err)
		}
	}
	return r.order, nil
}

// resolver walks dependencies depth first.
type resolver struct {
	files   map[string]string
	builtin map[string]bool
	done    map[string]bool
	unpack  func(path string) ([]byte, error)
	order   []*Module
}

func (r *resolver) add(name string) error {
	name = canonical(name)
	if r.done[name] || r.builtin[name] {
		return nil
	}
	r.done[name] = true
	path, ok := r.files[name]
	if !ok {
		return fmt.Errorf("no module %s", name)
	}
	data, err := r.unpack(path)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	hard, soft, err := dependencies(data)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	for _, want := range soft {
		// What is only wished for may be another kernel's, or an alias.
		if _, ok := r.files[canonical(want)]; ok {
			hard = append(hard, want)
		}
	}
	for _, need := range hard {
		if err := r.add(need); err != nil {
			return fmt.Errorf("%s needs: %w", name, err)
		}
	}
	r.order = append(r.order, &Module{Name: name, elf: withoutSignature(data)})
	return nil
}

// prefetch unpacks the named modules with all processors and returns an unpack
// function that knows the results.
func prefetch(files map[string]string, names []string) func(string) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		known = make(map[string]result)
		slots = make(chan struct{}, 4)
	)
	for _, name := range names {
		path, ok := files[canonical(name)]
		if !ok {
			continue
		}
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			data, err := unpack(path)
			mu.Lock()
			defer mu.Unlock()
			known[path] = result{data, err}
		})
	}
	group.Wait()
	return func(path string) ([]byte, error) {
		if r, ok := known[path]; ok {
			return r.data, r.err
		}
		return unpack(path)
	}
}

// files returns the path of every module by its canonical name.
func (k *Kernel) files() (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(k.modules, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, _, ok := strings.Cut(entry.Name(), ".ko"); ok && entry.Type().IsRegular() {
			files[canonical(name)] = path
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	return files, nil
}

// builtin returns the names of what would be modules but is part of the image.
func (k *Kernel) builtin() (map[string]bool, error) {
	text, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list built-in modules: %w", err)
	}
	names := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(filepath.Base(strings.TrimSpace(line)), ".ko")
		names[canonical(name)] = true
	}
	return names, nil
}

func canonical(name string) string {
	return strings.ReplaceAll(name, "-", "_")
}

// unpack returns the content of a module's file without its compression.
func unpack(path string) ([]byte, error) {
	program := ""
	switch filepath.Ext(path) {
	case ".ko":
		return os.ReadFile(path)
	case ".xz":
		program = "xz"
	case ".zst":
		program = "zstd"
	case ".gz":
		program = "gzip"
	default:
		return nil, fmt.Errorf("unpack %s: unknown compression", path)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(program, "-dc", path)
	cmd.Stderr = &stderr
	data, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w: %s", path, err, stderr.String())
	}
	return data, nil
}

// signatureMark ends the file of a signed module (linux/module_signature.h).
const signatureMark = "~Module signature appended~\n"

// withoutSignature cuts off a module's signature. Checking it takes an emulated
// processor longer than the rest of loading, 2 of 6 seconds of a boot; without
// one the kernel only notes that it loaded an unsigned module.
//
// The end of the file is the signature, a struct module_signature of 12 bytes
// with the signature's length as the last four in network order, and the mark.
func withoutSignature(data []byte) []byte {
	rest, ok := bytes.CutSuffix(data, []byte(signatureMark))
	if !ok || len(rest) < 12 {
		return data
	}
	length := int64(binary.BigEndian.Uint32(rest[len(rest)-4:])) + 12
	if length > int64(len(rest)) {
		return data
	}
	return rest[:int64(len(rest))-length]
}

// dependencies reads the names that a module needs (hard) or wants to find
// loaded (soft) from its .modinfo section.
func dependencies(data []byte) (hard, soft []string, err error) {
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, nil, fmt.Errorf("read module: %w", err)
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, nil, fmt.Errorf("read module: no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, nil, fmt.Errorf("read module: %w", err)
	}
	hard, soft = parseModinfo(string(info))
	return hard, soft, nil
}

// parseModinfo reads a list of key=value strings ended by zero bytes.
func parseModinfo(info string) (hard, soft []string) {
	for entry := range strings.SplitSeq(info, "\x00") {
		key, value, _ := strings.Cut(entry, "=")
		switch key {
		case "depends":
			hard = append(hard, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		case "softdep":
			if pre, ok := strings.CutPrefix(value, "pre: "); ok {
				pre, _, _ = strings.Cut(pre, "post:")
				soft = append(soft, strings.Fields(pre)...)
			}
		}
	}
	return hard, soft
}
