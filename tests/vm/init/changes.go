package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/culvertnet/culvert/tests/vm/wire"
)

// snapshot returns the digest of every file below root, by its path relative
// to root. An empty root has no files.
func snapshot(root string) (map[string][sha256.Size]byte, error) {
	files := make(map[string][sha256.Size]byte)
	err := walk(root, func(path string, data []byte) error {
		files[path] = sha256.Sum256(data)
		return nil
	})
	return files, err
}

// sendChanged reports the files below root that are new or differ from before.
func sendChanged(root string, before map[string][sha256.Size]byte, report *wire.Writer) error {
	return walk(root, func(path string, data []byte) error {
		if digest, ok := before[path]; ok && digest == sha256.Sum256(data) {
			return nil
		}
		return report.Write(wire.Frame{Kind: wire.File, Path: path, Data: data})
	})
}

func walk(root string, visit func(path string, data []byte) error) error {
	if root == "" {
		return nil
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("walk %s: %w", root, err)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("walk %s: %w", root, err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return fmt.Errorf("walk %s: %w", root, err)
		}
		return visit(rel, data)
	})
}
