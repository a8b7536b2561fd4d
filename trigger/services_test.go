package trigger

import (
	"testing"

	"github.com/culvertnet/culvert/netns"
)

// TestFirstDigest has the first call say yes: services that went between its caller's last look and this call are in no digest.
func TestFirstDigest(t *testing.T) {
	ns, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	services := NewServiceDigests()
	for i, want := range []bool{true, false, false} {
		got, err := services.Changed(ns)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("call %d: %v, want %v", i+1, got, want)
		}
	}
}

const table = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  2D569832:01BB mh (mh-fallback,mh-port)
  -> 64600001:01BB      Route   1      %d          0
  -> 64600002:01BB      Route   %s      0          7
`

func TestLasting(t *testing.T) {
	base := lasting(table)
	for changed, same := range map[string]bool{
		`IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  2D569832:01BB mh (mh-fallback,mh-port)
  -> 64600001:01BB      Route   1      99         12
  -> 64600002:01BB      Route   %s      4          7
`: true,
		`IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  2D569832:01BB mh (mh-fallback,mh-port)
  -> 64600001:01BB      Route   0      %d          0
  -> 64600002:01BB      Route   %s      0          7
`: false,
		`IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  2D569832:01BB mh (mh-fallback,mh-port)
  -> 64600001:01BB      Route   1      %d          0
`: false,
		"": false,
	} {
		if got := lasting(changed) == base; got != same {
			t.Errorf("same: %v, want %v, for\n%s", got, same, changed)
		}
	}
}
