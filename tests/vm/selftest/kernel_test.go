package selftest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestMain runs nothing on a kernel that promises nothing: a skip for each of
// its features would tell nobody anything.
func TestMain(m *testing.M) {
	if os.Getenv("CULVERT_KERNEL") != "full" {
		return
	}
	os.Exit(m.Run())
}

// inNamespace moves the test into a new named network namespace.
func inNamespace(t *testing.T, name string) {
	t.Helper()
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.NewNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Set(origin); err != nil {
			t.Fatal(err) // and the thread stays locked: it dies with the test
		}
		_ = origin.Close()
		_ = ns.Close()
		if err := netns.DeleteNamed(name); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}

func TestModulesLoaded(t *testing.T) {
	text, err := os.ReadFile("/proc/modules")
	if err != nil {
		t.Fatal(err)
	}
	loaded := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		loaded[strings.Fields(line)[0]] = true
	}
	for _, name := range []string{
		"nf_tables", "nf_nat", "nf_conntrack", "nf_conntrack_netlink", "nf_flow_table", "nft_flow_offload",
		"nft_fwd_netdev", "nft_dup_ipv4", "nft_dup_ipv6", "nft_fib_inet", "nft_reject_inet", "nft_hash",
		"ip_vs", "ip_vs_mh", "vxlan", "veth", "dummy", "vrf", "bridge", "tun", "sch_netem", "sch_ingress",
	} {
		if !loaded[name] {
			t.Errorf("module %s is not loaded", name)
		}
	}
}

func TestFiles(t *testing.T) {
	for _, path := range []string{
		"/proc/net/ip_vs", "/proc/net/ip_vs_conn", "/proc/net/nf_conntrack", "/dev/net/tun", "/run/netns",
		"/proc/sys/net/ipv4/vs/sloppy_tcp", "/proc/sys/net/netfilter/nf_conntrack_max",
	} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestLoopbackIsUp(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := netlink.AddrList(lo, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	if len(addrs) != 2 {
		t.Errorf("lo has addresses %v, want 127.0.0.1 and ::1", addrs)
	}
}

func TestLinks(t *testing.T) {
	inNamespace(t, "selftest-links")
	attrs := func(name string) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name = name
		return a
	}
	for _, link := range []netlink.Link{
		&netlink.Veth{LinkAttrs: attrs("veth0"), PeerName: "veth1"},
		&netlink.Vxlan{LinkAttrs: attrs("vx100"), VxlanId: 100, Port: 4789},
		&netlink.Dummy{LinkAttrs: attrs("dummy9")},
		&netlink.Vrf{LinkAttrs: attrs("vrf9"), Table: 9},
		&netlink.Bridge{LinkAttrs: attrs("br9")},
		&netlink.Tuntap{LinkAttrs: attrs("tap9"), Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_DEFAULTS},
	} {
		t.Run(link.Type(), func(t *testing.T) {
			// The subtest has a thread of its own, elsewhere.
			runIn(t, "selftest-links", func() error {
				if err := netlink.LinkAdd(link); err != nil {
					return fmt.Errorf("add: %w", err)
				}
				made, err := netlink.LinkByName(link.Attrs().Name)
				if err != nil {
					return err
				}
				return netlink.LinkSetUp(made)
			})
		})
	}
}

// runIn calls f in a named namespace and comes back.
func runIn(t *testing.T, name string, f func() error) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	origin, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer origin.Close()
	ns, err := netns.GetFromName(name)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := netns.Set(ns); err != nil {
		t.Fatal(err)
	}
	err = f()
	if back := netns.Set(origin); back != nil {
		t.Fatal(back)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestNamespaceIsNamed(t *testing.T) {
	inNamespace(t, "selftest-name")
	if _, err := os.Stat("/run/netns/selftest-name"); err != nil {
		t.Error(err)
	}
	out, err := exec.Command("ip", "netns", "exec", "selftest-name", "ip", "-brief", "link").Output()
	if err != nil || !strings.HasPrefix(string(out), "lo ") {
		t.Errorf("ip netns exec: %v: %s", err, out)
	}
}

// TestHooksAreHeld finds the namespace in which the first process holds hooks, so that the emulator never runs branches while they are patched.
func TestHooksAreHeld(t *testing.T) {
	spaces, err := filepath.Glob("/proc/1/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, space := range spaces {
		if its, err := os.Readlink(space); err != nil || its == own {
			continue // a thread that has ended, or one like all others
		}
		held, err := netns.GetFromPath(space)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = held.Close() }()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		origin, err := netns.Get()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = origin.Close() }()
		if err := netns.Set(held); err != nil {
			t.Fatal(err)
		}
		chains := command(t, "", "nft", "list", "chains")
		if err := netns.Set(origin); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(chains, " hook "); got != 13 {
			t.Errorf("%d hooks are held, want 13:\n%s", got, chains)
		}
		return
	}
	t.Errorf("none of %d threads of the first process has a namespace of its own", len(spaces))
}
