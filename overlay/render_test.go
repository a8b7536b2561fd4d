package overlay

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/netns"
)

func TestRenderGolden(t *testing.T) {
	for name, tenant := range examples() {
		s := must(Desired(hostOf(tenant), Facts{Underlay: "eth0", UnderlayMTU: 1550}))
		compare(t, name+".sh", Render(s))
	}
}

// TestRenderRuns gives the printed commands to a shell: a plan finds nothing left to do. Where the kernel is emulated programs start slowly,
// and each example has one underlay only, the next the other.
func TestRenderRuns(t *testing.T) {
	all := examples()
	for i, name := range slices.Sorted(maps.Keys(all)) {
		tenant := all[name]
		underlays := []string{"192.0.2.1", "2001:db8::1"}
		if os.Getenv("CULVERT_KERNEL") != "" {
			underlays = underlays[i%2 : i%2+1]
		}
		for _, underlay := range underlays {
			t.Run(name+" over "+underlay, func(t *testing.T) {
				r := newRig(t)
				r.device("tap-a", "out0")
				// The commands name namespaces without a prefix: a name of this test process keeps them apart.
				tenant.Name = fmt.Sprintf("r%d", os.Getpid())
				t.Cleanup(func() { _ = netns.Remove(tenant.Namespace()) })
				h := hostOf(tenant)
				h.Underlay = mustAddr(underlay)
				for i := range h.Tenants[0].Peers {
					if h.Underlay.Is6() {
						h.Tenants[0].Peers[i].Underlay = mustAddr(fmt.Sprintf("2001:db8::%d", i+2))
					}
				}
				for _, lb := range h.Tenants[0].Balancers {
					for i := range lb.Backends {
						if h.Underlay.Is6() {
							lb.Backends[i].Peer.Underlay = mustAddr("2001:db8::2")
						}
					}
				}
				k := Open(r.k.host, "")
				defer k.Close()
				observed := must(k.Observe(h.Underlay))
				desired := must(Desired(h, observed.Facts))
				r.sh(t.TempDir(), Render(desired))
				observed = must(k.Observe(h.Underlay))
				for place := range observed.State {
					if place != HostPlace && place != Place(tenant.Namespace()) {
						delete(observed.State, place) // somebody else's on this machine
					}
				}
				var mine []Object
				for _, o := range observed.State[HostPlace] {
					if n, ok := o.(Namespace); !ok || n.Name == tenant.Namespace() {
						mine = append(mine, o)
					}
				}
				observed.State[HostPlace] = mine
				if p := Diff(observed, desired); !p.Empty() {
					t.Errorf("left to do:\n%s", p)
				}
			})
		}
	}
}

// sh runs a script in the host's namespace; dir is for a stand-in of sysctl(8).
func (r *rig) sh(dir, script string) {
	r.Helper()
	cmd := exec.Command("sh", "-e")
	cmd.Stdin = strings.NewReader(script)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin:"+sysctlProgram(dir))
	err := r.k.host.Do(func() error {
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// sysctlProgram returns the folder with a stand-in for sysctl(8), which a minimal machine does not have.
func sysctlProgram(dir string) string {
	script := "#!/bin/sh\nexec sh -c 'printf %s \"${1#*=}\" >\"/proc/sys/${1%%=*}\"' sysctl \"$2\"\n"
	if err := os.WriteFile(filepath.Join(dir, "sysctl"), []byte(script), 0o755); err != nil {
		panic(err)
	}
	return dir
}
