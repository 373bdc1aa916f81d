package host

import (
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
	Changed  time.Time // of the content
}

// Digest names a content: its SHA-256, in hexadecimal digits.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
