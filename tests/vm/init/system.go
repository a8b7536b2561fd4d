package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mounts is what an ordinary Linux machine has mounted. /run is a tmpfs of its
// own so that named network namespaces can be made shared below it.
var mounts = []struct {
	source, target, fstype string
	data                   string
}{
	{"proc", "/proc", "proc", ""},
	{"sysfs", "/sys", "sysfs", ""},
	{"devtmpfs", "/dev", "devtmpfs", ""},
	{"devpts", "/dev/pts", "devpts", ""},
	{"tmpfs", "/dev/shm", "tmpfs", ""},
	{"tmpfs", "/run", "tmpfs", "mode=755"},
	{"tmpfs", "/tmp", "tmpfs", "mode=1777"},
	{"bpf", "/sys/fs/bpf", "bpf", ""},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", ""},
	{"tracefs", "/sys/kernel/tracing", "tracefs", ""},
}

func mountAll() error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", m.target, err)
		}
		err := unix.Mount(m.source, m.target, m.fstype, 0, m.data)
		// devtmpfs may already be there: the kernel can mount it by itself.
		if err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
		}
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, link); err != nil && !os.IsExist(err) {
			return fmt.Errorf("link %s: %w", link, err)
		}
	}
	return os.MkdirAll("/run/netns", 0o755)
}

// openPort opens the virtio serial port of that name. Its device appears when
// the host has announced it, which is soon after the driver came up.
func openPort(name string) (*os.File, error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return nil, err
		}
		for _, path := range names {
			text, err := os.ReadFile(path)
			if err == nil && strings.TrimSpace(string(text)) == name {
				return openBlocking("/dev/" + filepath.Base(filepath.Dir(path)))
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no virtio serial port is named %s", name)
		}
		time.Sleep(2 * time.Millisecond) // between two looks; nothing announces it to us
	}
}

// openBlocking opens a device so that a write waits until there is room.
func openBlocking(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func loadModules(paths []string) error {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("load module: %w", err)
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("load module %s: %w", filepath.Base(path), err)
		}
		// Nothing reads the file again, and it takes memory.
		_ = os.Remove(path)
	}
	return nil
}

func linkUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}
