package etcd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/culvertnet/culvert/source/etcd"
)

// secured has the members show a certificate and want one.
func secured(a *authority) option {
	return func(c *embed.Config) {
		c.ListenClientUrls[0].Scheme, c.AdvertiseClientUrls[0].Scheme = "https", "https"
		c.ClientTLSInfo = transport.TLSInfo{CertFile: a.file("server.pem"), KeyFile: a.file("server.key"), TrustedCAFile: a.file("ca.pem"), ClientCertAuth: true}
		c.BcryptCost = 4
	}
}

// TestAccess pushes and follows with certificates, users and roles: who pushes may write the fleet, hosts only say how they are.
func TestAccess(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	for _, name := range []string{"server", "client"} {
		ours.issue(name, false)
	}
	others.issue("client", false)
	c := newCluster(t, 1, secured(ours))
	access := etcd.Access{CA: ours.file("ca.pem"), Cert: ours.file("client.pem"), Key: ours.file("client.key")}
	setUsers(t, c, access, "live", "status", "health")

	as := func(user string) etcd.Access { return asUser(t, access, user) }
	s, err := etcd.Open(c.address(), as("pusher"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	one := push(t, s, parse(t))
	if err := s.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	h := follow(t, etcd.Config{Address: c.address(), Access: as("host"), Host: "hv1"})
	h.revision(one)
	h.ready("hv1", one)
	eventually(t, func() error { return liveHosts(s, "hv1") })

	byHost, err := etcd.Open(c.address(), as("host"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = byHost.Close() }()
	if _, err := tryPush(t, byHost, parse(t, "1024", "2048")); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a host's push: error %v", err)
	}
	h.revision(push(t, s, parse(t, "1024", "2048")))

	wrong := as("host")
	wrong.Password, wrong.PasswordFile = "guess", ""
	foreignCA, foreignCert, none := as("host"), as("host"), as("host")
	foreignCA.CA = others.file("ca.pem")
	foreignCert.Cert, foreignCert.Key = others.file("client.pem"), others.file("client.key")
	none.Cert, none.Key = "", ""
	for _, tt := range []struct {
		name   string
		access etcd.Access
		words  string
	}{
		{"wrong password", wrong, "authentication failed"},
		{"a server of another authority", foreignCA, "certificate signed by unknown authority"},
		{"a client of another authority", foreignCert, "remote error: tls: unknown certificate authority"},
		{"no certificate", none, "remote error: tls: certificate required"},
		{"no user", access, "permission denied"},
		{"no encryption", etcd.Access{}, "does it talk without TLS (else give --etcd-ca)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := follow(t, etcd.Config{Address: c.address(), Access: tt.access})
			h.refusal(tt.words)
			if len(h.delivered) > 0 {
				t.Errorf("delivered %s", (<-h.delivered).Generation)
			}
		})
	}
}

// asUser has a user's password as well.
func asUser(t *testing.T, access etcd.Access, user string) etcd.Access {
	t.Helper()
	access.User, access.PasswordFile = user, filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(access.PasswordFile, []byte("secret of "+user+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return access
}

// setUsers makes the users and roles of docs/etcd.md and switches authentication on. Hosts may write in the folders.
func setUsers(t *testing.T, c *cluster, access etcd.Access, folders ...string) {
	t.Helper()
	info := transport.TLSInfo{CertFile: access.Cert, KeyFile: access.Key, TrustedCAFile: access.CA}
	secure, err := info.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + c.members[0].client}, TLS: secure, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	grant := func(role, under string, kind clientv3.PermissionType) {
		t.Helper()
		must(client.RoleGrantPermission(ctx, role, under, clientv3.GetPrefixRangeEnd(under), kind))
	}
	for _, role := range []string{"pusher", "host"} {
		must(client.RoleAdd(ctx, role))
		must(client.UserAdd(ctx, role, "secret of "+role))
		must(client.UserGrantRole(ctx, role, role))
	}
	grant("pusher", prefix+"/", clientv3.PermissionType(clientv3.PermReadWrite))
	grant("host", prefix+"/", clientv3.PermissionType(clientv3.PermRead))
	for _, folder := range folders {
		grant("host", prefix+"/v1/"+folder+"/", clientv3.PermissionType(clientv3.PermReadWrite))
	}
	must(client.UserAdd(ctx, "root", "root"))
	must(client.UserGrantRole(ctx, "root", "root"))
	must(client.AuthEnable(ctx))
}
