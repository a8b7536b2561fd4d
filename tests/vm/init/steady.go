package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// hooks has a chain at each hook that rules of tests may use.
const hooks = `
table ip steady {
	chain a { type filter hook prerouting priority 0; }
	chain b { type filter hook input priority 0; }
	chain c { type filter hook forward priority 0; }
	chain d { type filter hook output priority 0; }
	chain e { type filter hook postrouting priority 0; }
}
table ip6 steady {
	chain a { type filter hook prerouting priority 0; }
	chain b { type filter hook input priority 0; }
	chain c { type filter hook forward priority 0; }
	chain d { type filter hook output priority 0; }
	chain e { type filter hook postrouting priority 0; }
}
table arp steady {
	chain a { type filter hook input priority 0; }
	chain b { type filter hook output priority 0; }
}
table netdev steady {
	chain a { type filter hook ingress device lo priority 0; }
}
`

// holdHooks keeps the kernel from patching its own code while packets run through it. The first chain at a hook in any namespace, and the
// last that goes, rewrite the branches that ask for hooks (nf_hooks_needed in net/netfilter/core.c, ingress_needed_key in net/core/dev.c),
// so does the first socket that wants times of arrival. QEMU before 8.1 can run such a branch as it was in the middle of that, on another
// processor: "Oops: int3", and the machine is gone. So a namespace of its own, which has no traffic, holds all of them as long as the
// machine runs.
func holdHooks(nft string) error {
	held := make(chan error)
	go func() {
		runtime.LockOSThread() // it stays in the namespace, and holds it
		err := hold(nft)
		held <- err
		if err == nil {
			select {}
		}
	}()
	if err := <-held; err != nil {
		return fmt.Errorf("hold hooks: %w", err)
	}
	return nil
}

func hold(nft string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	cmd := exec.Command(nft, "-f", "-")
	cmd.Stdin = strings.NewReader(hooks)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", nft, err, out)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1)
}
