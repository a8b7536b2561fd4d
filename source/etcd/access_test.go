package etcd

import (
	"os"
	"strings"
	"testing"
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseAddress(t *testing.T) {
	for s, want := range map[string]string{
		"etcd://a":                    "etcd://a:2379/culvert",
		"etcd://a:1,b.example":        "etcd://a:1,b.example:2379/culvert",
		"etcd://[2001:db8::1]:7/x/y/": "etcd://[2001:db8::1]:7/x/y",
		"etcd://192.0.2.1/":           "etcd://192.0.2.1:2379/culvert",
	} {
		if a, err := ParseAddress(s); err != nil || a.String() != want {
			t.Errorf("%s is %s, %v; want %s", s, a, err, want)
		}
	}
	for s, want := range map[string]string{
		"http://a":          "does not begin with etcd://",
		"etcd://":           `"" is not a host`,
		"etcd://a,,b":       `"" is not a host`,
		"etcd://a b":        `"a b" is not a host`,
		"etcd://a//x":       "cannot be a prefix",
		"etcd://a/x y":      "cannot be a prefix",
		"etcd://a?x":        `"a?x" is not a host`,
		"etcd://u:secret@a": "has no place in an address",
	} {
		if _, err := ParseAddress(s); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: error %v, want %q", s, err, want)
		}
	}
}

func TestAccessCheck(t *testing.T) {
	far, near := Address{Endpoints: []string{"etcd1:2379"}}, Address{Endpoints: []string{"127.0.0.1:2379", "[::1]:2379", "localhost:2379"}}
	for _, tt := range []struct {
		where  Address
		access Access
		want   string
	}{
		{far, Access{}, ""},
		{far, Access{CA: "ca"}, ""},
		{far, Access{CA: "ca", Cert: "c", Key: "k", User: "u", PasswordFile: "p"}, ""},
		{near, Access{User: "u", Password: "p"}, ""},
		{far, Access{User: "u", Password: "p"}, "not sent over an open connection; give --etcd-ca"},
		{far, Access{CA: "ca", Cert: "c"}, "give --etcd-cert and --etcd-key"},
		{far, Access{Cert: "c", Key: "k"}, "give --etcd-ca"},
		{far, Access{CA: "ca", User: "u"}, "give --etcd-password-file"},
		{far, Access{CA: "ca", Password: "p"}, "give --etcd-user"},
	} {
		_, err := NewSource(Config{Address: tt.where, Access: tt.access})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: error %v, want %q", tt.access, err, tt.want)
		}
	}
}

func TestMissingFiles(t *testing.T) {
	where := Address{Endpoints: []string{"127.0.0.1:1"}}
	empty := t.TempDir() + "/empty"
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		access Access
		want   string
	}{
		{Access{CA: "/no/ca"}, "read etcd's certificate authority: open /no/ca"},
		{Access{CA: empty}, "has no certificate in PEM"},
		{Access{User: "u", PasswordFile: "/no/password"}, "read etcd's password: open /no/password"},
	} {
		if _, err := Open(where, tt.access); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %q", tt.access, err, tt.want)
		}
	}
}
