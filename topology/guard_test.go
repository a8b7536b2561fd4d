package topology

import (
	"fmt"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

func TestUnderlays(t *testing.T) {
	fleet, err := config.Parse("fleet.yaml", []byte(`
hosts:
  - {name: hv3, underlay: 192.0.2.3, roles: [hypervisor]}
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor], state: down}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
`))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := portmap.Allocate(nil, fleet)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"hv1": "[192.0.2.3 192.0.2.254]", "hv2": "[192.0.2.1 192.0.2.3 192.0.2.254]",
	} {
		got, err := For(fleet, lock, host)
		if err != nil {
			t.Fatal(err)
		}
		if s := fmt.Sprint(got.Underlays); s != want {
			t.Errorf("%s accepts VXLAN of %s, want %s", host, s, want)
		}
	}
}
