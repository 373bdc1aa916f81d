// Package importer turns an installed haproxy.cfg and keepalived.conf, whoever wrote them, into a spec, and says line
// by line what the spec does not carry over. It is pure: files come in as bytes, and the spec goes out as text.
//
// The files are hostile input. Nothing of them reaches the spec but as a quoted value of one field, and nothing reaches
// the report but words without control characters; sizes and counts are bounded.
package importer
