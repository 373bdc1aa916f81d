package render

import "testing"

func TestReleaseOf(t *testing.T) {
	for text, want := range map[string]string{
		"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n": "Debian 12",
		"ID=debian\nVERSION_ID=\"11\"\n":                                                 "Debian 11",
		"ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"12\"\n":                               "Debian 12",
		"ID=ubuntu\nVERSION_ID=\"24.04\"\n":                                              "Ubuntu 24.04",
		"ID=debian\n":                                                                    "Debian 13", // testing has no VERSION_ID
		"ID=fedora\nVERSION_ID=12\n":                                                     "Debian 13",
		"":                                                                               "Debian 13",
	} {
		if got := ReleaseOf([]byte(text)).Name; got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
