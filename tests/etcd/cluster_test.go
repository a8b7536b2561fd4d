package etcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/culvertnet/culvert/source/etcd"
)

// prefix is where the tests' fleets are.
const prefix = "/culvert"

// cluster is an etcd of several members. Their traffic with each other goes through gates that can be shut.
type cluster struct {
	t       testing.TB
	members []*member
}

type member struct {
	name         string
	config       *embed.Config
	server       *embed.Etcd // nil when killed
	client, peer string      // host:port that the member listens on
	gate, front  *gate       // what the others dial, and what clients may dial
}

type option func(*embed.Config)

// newCluster starts n members.
func newCluster(t testing.TB, n int, options ...option) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var initial []string
	var ports ports
	for i := range n {
		m := &member{name: fmt.Sprintf("m%d", i), client: ports.draw(t), peer: ports.draw(t)}
		m.gate, m.front = newGate(t, m.peer), newGate(t, m.client)
		initial = append(initial, fmt.Sprintf("%s=http://%s", m.name, m.gate.address))
		c.members = append(c.members, m)
	}
	ports.free()
	for _, m := range c.members {
		config := embed.NewConfig()
		config.Name, config.Dir = m.name, filepath.Join(t.TempDir(), m.name)
		config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		config.UnsafeNoFsync = true
		config.TickMs, config.ElectionMs = 50, 500
		config.ListenPeerUrls, config.AdvertisePeerUrls = urls("http", m.peer), urls("http", m.gate.address)
		config.ListenClientUrls, config.AdvertiseClientUrls = urls("http", m.client), urls("http", m.client)
		config.InitialCluster = strings.Join(initial, ",")
		config.MaxSnapFiles, config.MaxWalFiles = 1, 1
		for _, o := range options {
			o(config)
		}
		m.config = config
	}
	for _, m := range c.members {
		m.launch(t)
	}
	for i := range c.members {
		c.ready(i)
	}
	t.Cleanup(func() {
		for i := range c.members {
			c.kill(i)
		}
	})
	return c
}

func urls(scheme, address string) []url.URL { return []url.URL{{Scheme: scheme, Host: address}} }

// ports are held until all are drawn: one that is free again may be drawn twice.
type ports []net.Listener

func (p *ports) draw(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	*p = append(*p, l)
	return l.Addr().String()
}

func (p ports) free() {
	for _, l := range p {
		_ = l.Close()
	}
}

// launch starts the member and does not wait until it serves.
func (m *member) launch(t testing.TB) {
	t.Helper()
	server, err := embed.StartEtcd(m.config)
	if err != nil {
		t.Fatalf("start %s: %v", m.name, err)
	}
	m.server = server
}

// ready waits until the member serves.
func (c *cluster) ready(i int) {
	c.t.Helper()
	select {
	case <-c.members[i].server.Server.ReadyNotify():
	case err := <-c.members[i].server.Err():
		c.t.Fatalf("%s: %v", c.members[i].name, err)
	case <-time.After(time.Minute):
		c.t.Fatalf("%s does not get ready", c.members[i].name)
	}
}

// kill ends a member without giving its leadership away.
func (c *cluster) kill(i int) {
	m := c.members[i]
	if m.server == nil {
		return
	}
	m.server.Server.HardStop()
	m.server.Close()
	m.server = nil
}

// start starts a member that was killed; it has kept its data.
func (c *cluster) start(i int) {
	c.t.Helper()
	c.members[i].config.ClusterState = embed.ClusterStateFlagExisting
	c.members[i].launch(c.t)
}

// partition cuts a member off from the others; clients still reach it.
func (c *cluster) partition(i int) { c.gates(i, true) }

// heal takes a partition back.
func (c *cluster) heal(i int) { c.gates(i, false) }

func (c *cluster) gates(i int, shut bool) {
	for j, m := range c.members {
		if j == i {
			m.gate.shut("", shut)
		} else {
			m.gate.shut(c.members[i].server.Server.MemberID().String(), shut)
		}
	}
}

// leader waits for a leader and returns its index.
func (c *cluster) leader() int {
	c.t.Helper()
	leader := -1
	eventually(c.t, func() error {
		leader = slices.IndexFunc(c.members, func(m *member) bool {
			return m.server != nil && m.server.Server.Leader() == m.server.Server.MemberID()
		})
		if leader < 0 {
			return errors.New("no leader")
		}
		return nil
	})
	return leader
}

// address is where the product finds the cluster, or some of its members.
func (c *cluster) address(members ...int) etcd.Address {
	a := etcd.Address{Prefix: prefix}
	for i, m := range c.members {
		if len(members) == 0 || slices.Contains(members, i) {
			a.Endpoints = append(a.Endpoints, m.client)
		}
	}
	return a
}

// open opens the store.
func (c *cluster) open(members ...int) *etcd.Store {
	c.t.Helper()
	s, err := etcd.Open(c.address(members...), etcd.Access{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	return s
}

// raw returns a client that does what the product does not.
func (c *cluster) raw() *clientv3.Client {
	c.t.Helper()
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, "http://"+m.client)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}

// keys lists all keys under a prefix.
func (c *cluster) keys(under string) []string {
	c.t.Helper()
	resp, err := c.raw().Get(c.t.Context(), under, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		c.t.Fatal(err)
	}
	var keys []string
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// patience is how long things may take at most: longer where the kernel is emulated.
func patience() time.Duration {
	if os.Getenv("CULVERT_KERNEL") != "" {
		return 5 * time.Minute
	}
	return time.Minute
}

// eventually repeats f until it returns no error.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(errors.Join(errors.New("it does not come to that"), err))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
