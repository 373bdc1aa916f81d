package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"time"
)

// File is the state of one file.
type File struct {
	Path     string
	Exists   bool
	Data     []byte
	Mode     fs.FileMode // permission bits
	UID, GID int
	Changed  time.Time // modification time of the content
}

// Digest returns the SHA-256 of data in hexadecimal digits. It identifies a content.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// FileReader reads files.
type FileReader interface {
	// File returns the state of a file. A missing file is no error.
	File(ctx context.Context, path string) (File, error)
	// RootOnly returns nil if a file exists and only root can change what the path leads to: the file, and every directory
	// and symbolic link on the way. The error says which other users can and how to fix that, or wraps fs.ErrNotExist.
	RootOnly(ctx context.Context, path string) error
}

// FileWriter changes files.
type FileWriter interface {
	// WriteFile replaces a file atomically and durably, and creates missing directories (0755). uid and gid are numeric.
	WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error
	// RemoveFile removes a file. It keeps the directory, except a drop-in directory that is then empty.
	RemoveFile(ctx context.Context, path string) error
	// RemoveTree removes one of the agent's own directories with its content.
	RemoveTree(ctx context.Context, path string) error
}
