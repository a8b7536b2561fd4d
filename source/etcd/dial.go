package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	// requestTimeout bounds a request for a few small values. It is more than an etcd takes to elect a leader.
	requestTimeout = 5 * time.Second
	// bulkTimeout bounds a request for many values or large ones.
	bulkTimeout = 30 * time.Second
)

// Access is how a client proves who it is, and what it accepts as the server's proof.
type Access struct {
	// CA, Cert and Key are PEM files. With CA the connection is encrypted and the server must have a certificate of it;
	// Cert and Key are the client's own. All are read anew for each connection.
	CA, Cert, Key string
	// User is etcd's user. The password is in PasswordFile, or else it is Password.
	User, Password, PasswordFile string
}

// check finds what cannot be meant.
func (a Access) check(where Address) error {
	switch {
	case (a.Cert == "") != (a.Key == ""):
		return errors.New("etcd: a certificate needs its key, and a key its certificate; give --etcd-cert and --etcd-key")
	case a.Cert != "" && a.CA == "":
		return errors.New("etcd: a client's certificate is of no use without encryption; give --etcd-ca")
	case a.User == "" && (a.Password != "" || a.PasswordFile != ""):
		return errors.New("etcd: a password needs a user; give --etcd-user")
	case a.User != "" && a.Password == "" && a.PasswordFile == "":
		return errors.New("etcd: a user needs a password; give --etcd-password-file")
	case a.User != "" && a.CA == "" && !where.local():
		return errors.New("etcd: a password is not sent over an open connection; give --etcd-ca")
	}
	return nil
}

// AccessError is an [Access] that cannot be used: what it says cannot be meant, or its files cannot be read.
type AccessError struct{ error }

// Unwrap returns what is wrong with it.
func (e AccessError) Unwrap() error { return e.error }

// ready checks what is said and reads the files. Its error is an [AccessError].
func (a Access) ready(where Address) (secure *tls.Config, password string, err error) {
	if err := a.check(where); err != nil {
		return nil, "", AccessError{err}
	}
	if secure, err = a.tls(); err != nil {
		return nil, "", AccessError{err}
	}
	if password, err = a.password(); err != nil {
		return nil, "", AccessError{err}
	}
	return secure, password, nil
}

// tls returns nil for an open connection.
func (a Access) tls() (*tls.Config, error) {
	if a.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(a.CA)
	if err != nil {
		return nil, fmt.Errorf("read etcd's certificate authority: %w; name a PEM file with --etcd-ca", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read etcd's certificate authority: %s has no certificate in PEM; name another file with --etcd-ca", a.CA)
	}
	if a.Cert != "" {
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("read the certificate for etcd: %w; name PEM files that belong together with --etcd-cert and --etcd-key", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (a Access) password() (string, error) {
	if a.PasswordFile == "" {
		return a.Password, nil
	}
	text, err := os.ReadFile(a.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read etcd's password: %w; name its file with --etcd-password-file", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// dial makes a client. It does not wait for etcd, unless there is a user: then it asks who that is.
func dial(where Address, a Access) (*clientv3.Client, error) {
	secure, password, err := a.ready(where)
	if err != nil {
		return nil, err
	}
	scheme := "http://"
	if secure != nil {
		scheme = "https://"
	}
	config := clientv3.Config{
		TLS: secure, Username: a.User, Password: password, DialTimeout: requestTimeout,
		// A member that vanished without a word is noticed after the sum of both.
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		Logger: zap.NewNop(),
	}
	for _, e := range where.Endpoints {
		config.Endpoints = append(config.Endpoints, scheme+e)
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", where, a.reason(context.Background(), where, err))
	}
	return client, nil
}

// pause is between two tries of a request that no leader was there for.
const pause = 50 * time.Millisecond

// ask makes a request within a time. A member that is cut off from the others refuses it at once and has done nothing; the
// next try meets another member, or a new leader.
func ask[R any](ctx context.Context, limit time.Duration, request func(context.Context) (R, error)) (R, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), limit)
	defer cancel()
	for {
		r, err := request(ctx)
		if !errors.Is(err, rpctypes.ErrNoLeader) {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, err
		case <-time.After(pause):
		}
	}
}
