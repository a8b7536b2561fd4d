package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/culvertnet/culvert/tests/vm/kernel"
	"github.com/culvertnet/culvert/tests/vm/machine"
)

// helloLimit is what a boot may take, module loading included. It took 3 to 9
// seconds, 19 on a busy host.
const helloLimit = 2 * time.Minute

// cacheDir returns the folder for what is worth keeping between runs.
func cacheDir() (string, error) {
	dir := os.Getenv("CULVERT_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a cache folder: %w; set CULVERT_CACHE", err)
		}
		dir = filepath.Join(user, "culvert")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return dir, nil
}

// boot completes an image with the kernel's modules and the init program and
// boots it.
func boot(ctx context.Context, root, work string, img image, opts options) (*machine.Run, error) {
	start := time.Now()
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	k, err := kernel.Get(filepath.Join(cache, "kernels"), opts.kernel)
	if err != nil {
		return nil, err
	}
	if img.modules, err = k.Modules(modules); err != nil {
		return nil, err
	}
	img.init = filepath.Join(work, "init")
	if err := buildProgram(root, img.init, "./tests/vm/init"); err != nil {
		return nil, err
	}
	m := machine.Machine{
		Kernel: k.Image, Initrd: filepath.Join(work, "initramfs"),
		MemoryMB: opts.memoryMB, Hello: helloLimit,
	}
	size, err := img.write(m.Initrd)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "vm: initramfs of %d MB made in %s\n", size>>20, since(start))
	if m.Accel, err = chooseAccel(ctx, opts.accel, m, work, cache, img.init); err != nil {
		return nil, err
	}
	start = time.Now()
	run, err := m.Boot(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "vm: kernel %s up (%s) in %s\n", run.Release, m.Accel, since(start))
	return run, nil
}

func chooseAccel(ctx context.Context, wish string, m machine.Machine, work, cache, initProgram string) (machine.Accel, error) {
	switch wish {
	case string(machine.Emulate), string(machine.KVM):
		return machine.Accel(wish), nil
	case "auto":
	default:
		return "", fmt.Errorf("-accel %s: want auto, tcg or kvm", wish)
	}
	m.Initrd, m.MemoryMB = filepath.Join(work, "initramfs-probe"), 512
	if _, err := (image{init: initProgram}).write(m.Initrd); err != nil {
		return "", err
	}
	return machine.Probe(ctx, m, cache), nil
}
