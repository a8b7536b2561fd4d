package portmap

import (
	"slices"
	"strings"
	"testing"
)

func TestOwner(t *testing.T) {
	acme := aLock().Tenants["acme"]
	for _, test := range []struct {
		port  uint16
		owner string
		block string
	}{
		{1023, "", ""},
		{1024, "host hv10", "23:1024-2047"},
		{2047, "host hv10", "23:1024-2047"},
		{2048, "host hv2", "23:2048-2111"},
		{3135, "interface vm-a", "23:3072-3135"},
		{3136, "", ""},
		{8200, "host hv10", "23:8192-8255"},
	} {
		who, b, ok := acme.Owner(addrA, test.port)
		switch {
		case ok != (test.owner != ""):
			t.Errorf("port %d has an owner: %v", test.port, ok)
		case ok && (who.String() != test.owner || b != aBlock(test.block)):
			t.Errorf("port %d belongs to %s with %s, want %s with %s", test.port, who, b, test.owner, test.block)
		}
	}
	if _, _, ok := (*Tenant)(nil).Owner(addrA, 1024); ok {
		t.Error("no tenant owns a port")
	}
}

func TestClaimOf(t *testing.T) {
	acme := aLock().Tenants["acme"]
	if c, ok := acme.Claim(Claimant{Host: "hv2"}); !ok || len(c.Retired) != 2 {
		t.Errorf("claim of hv2: %v, %v", c, ok)
	}
	if c, ok := acme.Claim(Claimant{Interface: "hv2"}); ok {
		t.Errorf("an interface that is not there has %v", c)
	}
	if c, ok := (*Tenant)(nil).Claim(Claimant{Host: "hv2"}); ok {
		t.Errorf("no tenant has %v", c)
	}
}

func TestClaimantOrder(t *testing.T) {
	sorted := []Claimant{{Host: "a"}, {Host: "b"}, {Interface: "a"}, {Interface: "b"}}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := a.Compare(b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s to %s: %d", a, b, got)
			}
		}
	}
}

func TestRelease(t *testing.T) {
	old := aLock()
	old.Tenants["gone"] = &Tenant{Claims: []Claim{{Claimant: Claimant{Host: "hv2"}, Retired: someBlocks("40:1024-1087")}}}
	lock, err := Release(old, "acme", "gone")
	if err != nil {
		t.Fatal(err)
	}
	wantClaims(t, lock, "host hv10: 23:1024-2047 23:8192-8255 23:5120-6143\n host hv2: 24:1024-2047")
	if gone := lock.Tenants["gone"]; len(gone.Claims) > 0 || !slices.Equal(gone.Freed, []Freed{{Block: someBlocks("40:1024-1087")[0], Claimant: Claimant{Host: "hv2"}}}) || len(lock.Tenants["acme"].Backends) != 2 || lock.NextHost != 12 {
		t.Errorf("released to %v", lock)
	}
	if same, err := Release(old); err != nil || len(same.Tenants) != len(old.Tenants) {
		t.Errorf("releasing nobody's: %v, %v", same, err)
	}
	delete(old.Tenants, "gone")
	if diff := diffOf(aLock(), old); diff != "" {
		t.Errorf("the old lock changed:\n%s", diff)
	}
	if _, err := Release(old, "acme", "nobody"); err == nil || !strings.Contains(err.Error(), `no tenant "nobody"`) {
		t.Errorf("error %v", err)
	}
}

func TestArrangeKeepsTheOrder(t *testing.T) {
	old := someBlocks("23:4096-5119 23:1024-2047")
	set := on(someBlocks("23:4096-6143 23:1024-1087 23:1152-2047 23:2112-2175"), addrA)
	want := someBlocks("23:4096-6143 23:1024-1087 23:1152-2047 23:2112-2175")
	if got := arrange(old, set, addrA); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMergeAndWithout(t *testing.T) {
	merged := merge(someBlocks("24:1024-1087 23:2048-2111"), someBlocks("23:1024-2047 24:1152-1215"))
	if want := someBlocks("23:1024-2111 24:1024-1087 24:1152-1215"); !slices.Equal(merged, want) {
		t.Errorf("merged to %v, want %v", merged, want)
	}
	rest := without(merged, addrA, on(someBlocks("23:1088-1151 23:2048-2111"), addrA))
	if want := someBlocks("23:1024-1087 23:1152-2047 24:1024-1087 24:1152-1215"); !slices.Equal(rest, want) {
		t.Errorf("left %v, want %v", rest, want)
	}
}
