package terminal

import "testing"

// TestFrame: a frame overwrites the former one line by line, erases the rest, and fits on the
// screen.
func TestFrame(t *testing.T) {
	if got, want := Frame("a\nb\n", 5), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Frame("a\nb\nc\nd\n", 3), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n… 2 lines more\x1b[K\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFrameOfForeignText: a frame removes all control sequences of its text except colors.
func TestFrameOfForeignText(t *testing.T) {
	text := "\x1b[32mup\x1b[0m \x1b[Hover \x1b]0;title\x07\rover \x1b[\x1b[31m"
	if got, want := Frame(text, 5), "\x1b[H\x1b[32mup\x1b[0m Hover ]0;titleover \x1b[31m\x1b[K\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Frame("\x1b[31m32m10s\x1b[0m", 5), "\x1b[H\x1b[31m32m10s\x1b[0m\x1b[K\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
