package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Kernel is an unpacked kernel package.
type Kernel struct {
	Release string // as uname -r prints it
	Image   string // path of the bootable image
	modules string // folder with the release's modules
}

// manifest is the file of a cache entry that lists all others with their sizes.
const manifest = "MANIFEST"

// Get returns the newest kernel of a series such as "6.12" that dir holds
// complete. If there is none it is downloaded with the machine's package
// manager.
func Get(dir, series string) (*Kernel, error) {
	k, err := cached(dir, series)
	if err == nil {
		return k, nil
	}
	if err := download(dir, series); err != nil {
		return nil, fmt.Errorf("get kernel %s: %w", series, err)
	}
	return cached(dir, series)
}

// cached returns the newest complete kernel of a series in dir.
func cached(dir, series string) (*Kernel, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read kernel cache: %w", err)
	}
	releases := make([]string, 0, len(entries))
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), series+".") {
			releases = append(releases, entry.Name())
		}
	}
	slices.SortFunc(releases, compareReleases)
	for _, release := range slices.Backward(releases) {
		if k, err := open(filepath.Join(dir, release), release); err == nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("no complete kernel %s in %s", series, dir)
}

// compareReleases orders releases by their numbers: 6.12.9 before 6.12.117.
func compareReleases(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

func numbers(release string) []int {
	var all []int
	for _, field := range strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(field)
		all = append(all, n)
	}
	return all
}

// open returns the kernel in an unpacked package, or an error if files are
// missing or have another size than when they were unpacked.
func open(root, release string) (*Kernel, error) {
	if err := checkManifest(root); err != nil {
		return nil, err
	}
	k := &Kernel{Release: release, Image: filepath.Join(root, "boot", "vmlinuz-"+release)}
	if _, err := os.Stat(k.Image); err != nil {
		return nil, fmt.Errorf("kernel image: %w", err)
	}
	// The folder moved with Debian's merge of / and /usr.
	for _, lib := range []string{"lib", "usr/lib"} {
		k.modules = filepath.Join(root, lib, "modules", release)
		if _, err := os.Stat(k.modules); err == nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("kernel %s has no modules", release)
}

func writeManifest(root string) error {
	var text strings.Builder
	err := eachFile(root, func(path string, size int64) error {
		fmt.Fprintf(&text, "%d %s\n", size, path)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return os.WriteFile(filepath.Join(root, manifest), []byte(text.String()), 0o644)
}

func checkManifest(root string) error {
	text, err := os.ReadFile(filepath.Join(root, manifest))
	if err != nil {
		return fmt.Errorf("check kernel package: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		size, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			return fmt.Errorf("check kernel package: %w", err)
		}
		if got := strconv.FormatInt(info.Size(), 10); got != size {
			return fmt.Errorf("check kernel package: %s has %s bytes, not %s", path, got, size)
		}
	}
	return nil
}

func eachFile(root string, visit func(path string, size int64) error) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return visit(rel, info.Size())
	})
}
