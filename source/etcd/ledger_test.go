package etcd

import "testing"

func TestLedger(t *testing.T) {
	var l ledger
	expect := func(converged string, want bool) {
		t.Helper()
		if got := l.vouches(converged); got != want {
			t.Errorf("vouches for %q: %t, want %t", converged, got, want)
		}
	}
	expect("", true)
	expect("7", false) // nothing has come from etcd yet
	l.meet(7, "")
	expect("7", true)
	expect("7 without hv1", true)
	expect("6", true)
	expect("8", false)
	l.keep(7)
	expect("7", false)
	expect("6", true)
	l.meet(8, "") // and is refused
	expect("7", false)
	l.keep(8) // or is not kept either
	expect("7", false)
	expect("6", true)
	l.keep(0)
	expect("8", true)
	// Two fleets of revision 8: what is said of the first is not said of the second, nor later.
	l.meet(8, twinMark([]byte("second")))
	expect("8", false)
	expect("8 "+twinMark([]byte("first")), false)
	expect("8 "+twinMark([]byte("second"))+" without hv1", true)
	l.meet(9, "")
	expect("8", false)
	expect("9", true)
}
