package kernel

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// download fetches and unpacks the kernel package of a series into dir.
// Nothing is installed.
func download(dir, series string) error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("there are test kernels for amd64 only, this is %s", runtime.GOARCH)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := fetch(dir, series)
	if err == nil {
		return nil
	}
	// The package lists may be missing or older than the mirror.
	if updateErr := run("", "apt-get", "-qq", "-o", "Acquire::Retries=3", "update"); updateErr != nil {
		return errors.Join(err, updateErr)
	}
	return fetch(dir, series)
}

func fetch(dir, series string) error {
	name, err := packageName(series)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// apt drops to a user that cannot write here, and would warn about it.
	// It checks the file against the signed package list.
	if err := run(work, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "download", name); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("download %s: want one package file, have %d", name, len(files))
	}
	root := filepath.Join(work, "root")
	if err := run(work, "dpkg-deb", "--extract", files[0], root); err != nil {
		return err
	}
	if err := writeManifest(root); err != nil {
		return err
	}
	release := strings.TrimPrefix(name, "linux-image-")
	if _, err := open(root, release); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	// Under its final name there is only ever a complete kernel.
	final := filepath.Join(dir, release)
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	return os.Rename(root, final)
}

// packageName returns the package that the series' metapackage stands for.
// The distribution's default kernel has a metapackage without the number.
func packageName(series string) (string, error) {
	metas := []string{"linux-image-" + series + "-cloud-amd64", "linux-image-cloud-amd64"}
	for _, meta := range metas {
		out, err := exec.Command("apt-cache", "depends", meta).Output()
		if err != nil {
			continue
		}
		if name := parseDepends(string(out), series); name != "" {
			return name, nil
		}
	}
	return "", fmt.Errorf("no package for kernel %s: neither %s has one (apt-get update may be due)",
		series, strings.Join(metas, " nor "))
}

// parseDepends finds the kernel package of a series in what
// "apt-cache depends" prints; empty if there is none.
func parseDepends(text, series string) string {
	for line := range strings.Lines(text) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if ok && strings.HasPrefix(name, "linux-image-"+series+".") {
			return name
		}
	}
	return ""
}

func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
