package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestFramesArrive(t *testing.T) {
	sent := []Frame{
		{Kind: Hello, Text: "6.12.1"},
		{Kind: Start, Unit: 1},
		{Kind: Output, Unit: 1, Data: []byte("a\nb\x00\xff\n"), Stderr: true},
		{Kind: Exit, Unit: 1, Status: 139, Text: "killed"},
		{Kind: File, Path: "nft/testdata/x", Data: bytes.Repeat([]byte("x"), 1<<18)},
		{Kind: Done},
	}
	var buf bytes.Buffer
	w := NewWriter(&buf)
	for _, f := range sent {
		if err := w.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(&buf)
	for _, want := range sent {
		if got, err := r.Read(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := r.Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after the last: got %v, want an unexpected end", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	for input, want := range map[string]string{
		`{"Kind":"done"}`:   "unexpected EOF", // cut off before the line's end
		"Kernel panic\n":    "decode frame",
		"{\"Kind\":\"do\n":  "decode frame",
		"[ 1.0] x {}\n{}\n": "decode frame",
	} {
		if f, err := NewReader(strings.NewReader(input)).Read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v, want %s", input, f, err, want)
		}
	}
}

func TestWriterReportsFailure(t *testing.T) {
	r, pw := io.Pipe()
	_ = r.Close()
	if err := NewWriter(pw).Write(Frame{Kind: Done}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want a closed pipe", err)
	}
}
