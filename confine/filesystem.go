package confine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// done marks the environment of the program that was started anew.
const done = "CULVERT_CONFINED"

// kernel are files below /proc that are not the network's; the rest of /proc stays writable.
var kernel = []string{
	"/proc/sys/abi", "/proc/sys/debug", "/proc/sys/dev", "/proc/sys/fs", "/proc/sys/kernel", "/proc/sys/user", "/proc/sys/vm",
	"/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/acpi",
}

// FileSystem makes the file system read-only for this process, but for the given folders and files, which must exist, and
// starts the program anew. It returns nil in the new run.
func FileSystem(writable ...string) error {
	if os.Getenv(done) != "" {
		return os.Unsetenv(done)
	}
	if err := netns.Share(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	// The thread is not given back: it is in a mount namespace of its own.
	runtime.LockOSThread()
	if err := restrict(writable); err != nil {
		return fmt.Errorf("make the file system read-only: %w", err)
	}
	err = unix.Exec(self, os.Args, append(os.Environ(), done+"=1"))
	return fmt.Errorf("start %s anew: %w", self, err)
}

// restrict gives the thread mounts of its own, which are read-only.
func restrict(writable []string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	points, err := mountPoints()
	if err != nil {
		return err
	}
	// What is mounted here from now on shall not show up outside, but names of namespaces shall.
	for _, p := range points {
		if !within(p, netns.Dir) {
			err = errors.Join(err, ignore(setattr(p, 0, unix.MountAttr{Propagation: unix.MS_PRIVATE}), unix.EINVAL, unix.ENOENT))
		}
	}
	for _, path := range slices.Concat(writable, kernel) {
		err = errors.Join(err, own(path))
	}
	if err != nil {
		return err
	}
	if err := setattr("/", unix.AT_RECURSIVE, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	for _, path := range slices.Concat([]string{"/proc", netns.Dir}, writable) {
		err = errors.Join(err, setattr(path, 0, unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}))
	}
	return err
}

// own makes a folder or a file a mount of its own. One of the kernel's that is not there needs none.
func own(path string) error {
	err := unix.Mount(path, path, "", unix.MS_BIND|unix.MS_REC, "")
	if within(path, "/proc") {
		err = ignore(err, unix.ENOENT)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func setattr(path string, flags uint, a unix.MountAttr) error {
	if err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &a); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// ignore makes some errors none.
func ignore(err error, of ...error) error {
	for _, e := range of {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// within reports whether a path is a folder or below it.
func within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// mountPoints lists where something is mounted (proc(5), mountinfo, fifth field).
func mountPoints() ([]string, error) {
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var points []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			points = append(points, unescape.Replace(fields[4]))
		}
	}
	return points, lines.Err()
}

// unescape reads what the kernel writes for white space and backslashes.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
