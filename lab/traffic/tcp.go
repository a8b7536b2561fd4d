package traffic

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
)

// chunk is how many bytes are written at once: enough for segmentation offload to have something to do.
const chunk = 128 << 10

type tcpFlow struct {
	*socket
	to netip.AddrPort
}

func (f *tcpFlow) Local() netip.AddrPort  { return f.local() }
func (f *tcpFlow) Remote() netip.AddrPort { return f.to }

// Exchange puts the bytes, has the server answer with their hash, gets as many and checks theirs.
func (f *tcpFlow) Exchange(ctx context.Context, n int) error {
	defer f.limit(ctx)()
	if err := f.put(n); err != nil {
		return fmt.Errorf("send %d bytes to %s: %w", n, f.to, f.explain(err))
	}
	if err := f.get(n); err != nil {
		return fmt.Errorf("receive %d bytes from %s: %w", n, f.to, f.explain(err))
	}
	return nil
}

func (f *tcpFlow) ask(op operation, n int, seed uint64) error {
	_, err := f.Write(request{op, uint64(n), seed}.marshal())
	return err
}

func (f *tcpFlow) put(n int) error {
	seed := rand.Uint64()
	if err := f.ask(opPut, n, seed); err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.CopyBuffer(plain{io.MultiWriter(hash, f.File)}, io.LimitReader(pattern(seed), int64(n)), make([]byte, chunk)); err != nil {
		return err
	}
	answer := make([]byte, sha256.Size)
	if _, err := io.ReadFull(f.File, answer); err != nil {
		return err
	}
	if !bytes.Equal(answer, hash.Sum(nil)) {
		return ErrDamaged
	}
	return nil
}

func (f *tcpFlow) get(n int) error {
	seed := rand.Uint64()
	if err := f.ask(opGet, n, seed); err != nil {
		return err
	}
	got, want := sha256.New(), sha256.New()
	if _, err := io.CopyN(want, pattern(seed), int64(n)); err != nil {
		return err
	}
	if _, err := io.CopyN(got, plainReader{f.File}, int64(n)); err != nil {
		return err
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		return ErrDamaged
	}
	return nil
}

func (f *tcpFlow) Seen(ctx context.Context) (netip.AddrPort, error) {
	defer f.limit(ctx)()
	answer := make([]byte, addressSize)
	err := f.ask(opWho, 0, 0)
	if err == nil {
		_, err = io.ReadFull(f.File, answer)
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask %s for our source: %w", f.to, f.explain(err))
	}
	return getAddress(answer), nil
}

// plain and plainReader hide [os.File]'s own copying, which tries splice and sendfile first.
type plain struct{ io.Writer }

type plainReader struct{ io.Reader }
