package initramfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ToolDir is where Tool puts programs.
const ToolDir = "/usr/bin"

// searched is where the host's programs are looked up. Administrators' tools
// are not in every user's PATH.
var searched = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// Tool adds a program of the host with the libraries and the loader that it
// needs. A program that is not installed is an error.
func (a *Writer) Tool(name string) {
	source, err := lookUp(name)
	if err != nil {
		a.fail(err)
		return
	}
	libraries, err := librariesOf(source)
	if err != nil {
		a.fail(err)
		return
	}
	a.Copy(filepath.Join(ToolDir, name), 0o755, source)
	for _, lib := range libraries {
		a.Copy(lib, 0o755, lib)
	}
}

func lookUp(name string) (string, error) {
	for _, dir := range searched {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("add tool %s: not found in %s; run tests/setup.sh", name, strings.Join(searched, ":"))
}

// librariesOf returns the shared libraries of a program, the loader among them.
func librariesOf(program string) ([]string, error) {
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return nil, fmt.Errorf("find libraries of %s: %w", program, err)
		}
		said := string(out) + string(exit.Stderr) // glibc's says so on standard output or error, by version
		if strings.Contains(said, "not a dynamic executable") {
			return nil, nil
		}
		return nil, fmt.Errorf("find libraries of %s: %w: %s", program, err, said)
	}
	return parseLdd(string(out))
}

// parseLdd reads what ldd prints: "name => path (address)", "path (address)"
// for the loader, and "name (address)" for what the kernel provides.
func parseLdd(text string) ([]string, error) {
	var paths []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case strings.Contains(line, "=> not found"):
			return nil, fmt.Errorf("library %s is missing", fields[0])
		case len(fields) >= 3 && fields[1] == "=>":
			paths = append(paths, fields[2])
		case len(fields) >= 1 && strings.HasPrefix(fields[0], "/"):
			paths = append(paths, fields[0])
		}
	}
	return paths, nil
}
