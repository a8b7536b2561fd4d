package etcd

import (
	"os/exec"
	"strings"
)

// on runs a command that plans or changes a host of the lab by hand.
func (f *fabric) on(host, verb string) (string, int) {
	f.Helper()
	return f.run(verb, "--host", host, "--namespace", f.name+"-"+host, "--prefix", f.lab.HostPrefix(host))
}

// plannedWithout plans and changes the edge by hand while hv1 is lost: that is what the edge's daemon has done.
func (f *fabric) plannedWithout() {
	f.Helper()
	for _, host := range []string{"edge1", "hv2"} { // what is for the lost host alone still goes there
		if out, status := f.on(host, "plan"); status != 0 || !strings.Contains(out, "nothing to change") {
			f.Errorf("plan for %s: status %d:\n%s", host, status, out)
		}
	}
	f.kill("edge1")
	both := strings.Fields("route replace 45.86.152.23 proto 146 nexthop via 100.64.0.1 dev vx100 onlink nexthop via 100.64.0.2 dev vx100 onlink")
	if out, err := exec.Command("ip", append([]string{"-n", f.lab.HostPrefix("edge1") + "culvert-acme"}, both...)...).CombinedOutput(); err != nil {
		f.Fatalf("ip %v: %v: %s", both, err, out)
	}
	out, status := f.on("edge1", "plan")
	if want := "route 45.86.152.23/32 via 100.64.0.2 dev vx100 onlink (was: "; status != 2 || !strings.Contains(out, want) {
		f.Errorf("plan for the edge: status %d, want 2 and %q:\n%s", status, want, out)
	}
	if out, status := f.on("edge1", "apply"); status != 0 {
		f.Errorf("apply: status %d:\n%s", status, out)
	}
	if got := f.hops(); got != "100.64.0.2" {
		f.Errorf("hops after apply %s", got)
	}
	f.start("edge1")
}
