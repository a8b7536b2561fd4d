package config

import "testing"

func TestLoad(t *testing.T) {
	f, err := Load("testdata/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f)
}
