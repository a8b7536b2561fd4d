package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
)

// ErrUnable says that a probe could not be made. It says nothing about the target.
var ErrUnable = errors.New("the probe could not be made")

// Probe asks the target once, from the namespace, and waits for the answer as long as its check says. Nil means a good answer.
func Probe(ctx context.Context, ns *netns.NS, target Target) error {
	ctx, cancel := context.WithTimeout(ctx, target.Check.Timeout)
	defer cancel()
	var err error
	switch target.Check.Protocol {
	case config.CheckTCP:
		err = probeStream(ctx, ns, target)
	case config.CheckHTTP, config.CheckHTTPS:
		err = probeHTTP(ctx, ns, target)
	case config.CheckUDP:
		err = probeDatagram(ctx, ns, target)
	case config.CheckICMP:
		err = probeEcho(ctx, ns, target)
	default:
		err = fmt.Errorf("unknown protocol %q", target.Check.Protocol)
	}
	if err != nil {
		return fmt.Errorf("probe %s: %w", target, err)
	}
	return nil
}

// probeStream is content with a connection unless the check says what to send or to expect.
func probeStream(ctx context.Context, ns *netns.NS, target Target) error {
	conn, err := dial(ctx, ns, unix.SOCK_STREAM, target)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is lost with it
	if _, err := io.WriteString(conn, target.Check.Send); err != nil {
		return err
	}
	if target.Check.Expect == "" {
		return nil
	}
	answer := make([]byte, len(target.Check.Expect))
	n, err := io.ReadFull(conn, answer)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	return expect(answer[:n], target.Check)
}

// probeDatagram needs an answer: UDP has no other sign of life. Nobody at the port is known at once by the VM's ICMP.
func probeDatagram(ctx context.Context, ns *netns.NS, target Target) error {
	conn, err := dial(ctx, ns, unix.SOCK_DGRAM, target)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is lost with it
	if _, err := io.WriteString(conn, target.Check.Send); err != nil {
		return err
	}
	answer := make([]byte, 64<<10)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	return expect(answer[:n], target.Check)
}

func expect(answer []byte, check config.HealthCheck) error {
	if !bytes.HasPrefix(answer, []byte(check.Expect)) {
		return fmt.Errorf("answer begins with %q, not with %q", answer[:min(len(answer), len(check.Expect))], check.Expect)
	}
	return nil
}

// maxHeader is how much of an answer is read in bytes.
const maxHeader = 64 << 10

// probeHTTP asks for the path with GET and looks at the status alone. Redirects are not followed: their status is the
// answer. Certificates are not verified: a probe asks whether the backend works, and knows it by its private address only.
//
// An http.Transport would do it, too, but keeps reading from its connections and logs what it does not like.
func probeHTTP(ctx context.Context, ns *netns.NS, target Target) error {
	conn, err := dial(ctx, ns, unix.SOCK_STREAM, target)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is lost with it
	var stream io.ReadWriter = conn
	if target.Check.Protocol == config.CheckHTTPS {
		stream = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	url := fmt.Sprintf("%s://%s%s", target.Check.Protocol, target.endpoint(), target.Check.Path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "culvert-health")
	request.Close = true
	if err := request.Write(stream); err != nil {
		return err
	}
	// The VM is its tenant's: it does not get to fill the prober's memory with headers.
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(stream, maxHeader)), request)
	if err != nil {
		return err
	}
	if !slices.Contains(target.Check.Statuses, answer.StatusCode) {
		// The number alone: the words behind it are the VM's, and may be many.
		return fmt.Errorf("status %d, not one of %v", answer.StatusCode, target.Check.Statuses)
	}
	return nil
}
