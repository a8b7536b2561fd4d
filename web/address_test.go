package web

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		text, network, rest string
		local               bool
	}{
		{"127.0.0.1:9469", "tcp", "127.0.0.1:9469", true},
		{"[::1]:9469", "tcp", "[::1]:9469", true},
		{"localhost:9469", "tcp", "localhost:9469", true},
		{":9469", "tcp", ":9469", false},
		{"192.0.2.1:9469", "tcp", "192.0.2.1:9469", false},
		{"unix:/run/culvert/web.sock", "unix", "/run/culvert/web.sock", true},
	} {
		a, err := ParseAddress(tt.text)
		if err != nil || a.Network != tt.network || a.Text != tt.rest || a.Local() != tt.local || a.String() != tt.text {
			t.Errorf("%s: %+v, local %v, %s, %v", tt.text, a, a.Local(), a, err)
		}
	}
	for _, text := range []string{"", "9469", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999", "example.net:9469", "unix:web.sock", "unix:"} {
		if _, err := ParseAddress(text); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
