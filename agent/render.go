package agent

import (
	"fmt"
	"strings"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Render prints what the named host should hold, for reading: namespaces, devices and routes as ip commands, rules as nft
// text. It asks no kernel: underlayMTU, in bytes, stands for what would be observed.
func Render(fleet *config.Fleet, lock *portmap.Lock, name string, underlayMTU int) (string, error) {
	host, err := topology.For(fleet, lock, name)
	if err != nil {
		return "", err
	}
	state, err := overlay.Desired(host, overlay.Facts{Underlay: "underlay", UnderlayMTU: underlayMTU})
	if err != nil {
		return "", fmt.Errorf("host %s: %w", name, err)
	}
	var b strings.Builder
	b.WriteString(overlay.Render(state))
	for _, table := range nft.Guard(host) {
		fmt.Fprintf(&b, "\n# nft list table %s %s\n%s", table.Family, nft.TableName, table)
	}
	for _, t := range host.Tenants {
		fmt.Fprintf(&b, "\n# ip netns exec %s nft list ruleset\n", t.Namespace())
		for _, table := range nft.Desired(t) {
			b.WriteString(table.String())
		}
		if balancing := ipvs.Desired(t); !balancing.Empty() {
			fmt.Fprintf(&b, "\n%s\n", strings.Join(ipvs.Render(t.Namespace(), balancing), "\n"))
		}
	}
	return b.String(), nil
}
