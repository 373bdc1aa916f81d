// Package importer converts an installed haproxy.cfg and keepalived.conf into a spec. The files may come from the agent or
// from anybody else. The package reports each line that the spec does not carry over. It is pure: files come in as bytes, and
// the spec goes out as text.
//
// The files are hostile input. Text from the files reaches the spec only as a quoted value of one field, and the report only
// as words without control characters. Sizes and counts are bounded.
package importer
