package config

import (
	"errors"
	"testing"
)

func TestMAC(t *testing.T) {
	want := MAC{0x52, 0x54, 0, 0xab, 0xcd, 0xef}
	for _, s := range []string{"52:54:00:ab:cd:ef", "52:54:00:AB:CD:EF"} {
		if got, err := ParseMAC(s); err != nil || got != want {
			t.Errorf("ParseMAC(%q) = %v, %v", s, got, err)
		}
	}
	if got := want.String(); got != "52:54:00:ab:cd:ef" {
		t.Errorf("String() = %q", got)
	}
	if text, err := want.MarshalText(); err != nil || string(text) != want.String() {
		t.Errorf("MarshalText() = %q, %v", text, err)
	}
}

func TestParseMACRefuses(t *testing.T) {
	for _, s := range []string{
		"", "52:54:00:ab:cd", "52:54:00:ab:cd:ef:01", "52-54-00-ab-cd-ef", "5254.00ab.cdef", "52:54:00:ab:cd:eg",
		"52:54:00:ab:cd:e", " 52:54:00:ab:cd:ef", "52:54:00:ab:cd:ef ", "52:54:00:ab::def", "+2:54:00:ab:cd:ef",
	} {
		if got, err := ParseMAC(s); !errors.Is(err, errMAC) || got != (MAC{}) {
			t.Errorf("ParseMAC(%q) = %v, %v", s, got, err)
		}
	}
}

func TestMACRanges(t *testing.T) {
	tests := []struct {
		mac                 string
		multicast, reserved bool
	}{
		{"52:54:00:00:00:01", false, false},
		{"01:00:5e:00:00:51", true, false},
		{"ff:ff:ff:ff:ff:ff", true, false},
		{"02:63:76:00:00:00", false, true},
		{"06:63:76:ff:ff:ff", false, true},
		{"0a:63:76:00:00:00", false, false},
		{"02:63:77:00:00:00", false, false},
		{"02:64:76:00:00:00", false, false},
	}
	for _, test := range tests {
		m, err := ParseMAC(test.mac)
		if err != nil {
			t.Fatal(err)
		}
		if m.IsMulticast() != test.multicast || m.IsReserved() != test.reserved {
			t.Errorf("%s: multicast %v, reserved %v", m, m.IsMulticast(), m.IsReserved())
		}
	}
}
