package main

import (
	"os"
	"testing"
)

func TestTryAll(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	err := tryAll(t.Context(), []probe{
		{"loopback", "ip link show lo"},
		{"magic", "echo no such spell; echo more; exit 3"},
		{"luck", "false"},
	})
	if want := "no magic: exit status 3: no such spell\nno luck: exit status 1: "; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := tryAll(t.Context(), []probe{{"loopback", "ip link show lo"}}); err != nil {
		t.Errorf("with everything there: %v", err)
	}
}

func TestExecuteOnHost(t *testing.T) {
	for _, tt := range []struct {
		argv   []string
		status int
		fails  bool
	}{
		{[]string{"true"}, 0, false},
		{[]string{"sh", "-c", "exit 7"}, 7, false},
		{[]string{"sh", "-c", "kill -9 $$"}, 1, true},
		{[]string{"/no/such/program"}, 1, true},
	} {
		status, err := executeOnHost(t.Context(), tt.argv, "")
		if status != tt.status || (err != nil) != tt.fails {
			t.Errorf("%v: got %d, %v, want %d", tt.argv, status, err, tt.status)
		}
	}
}
