// Package export writes events of the audit log in the formats that collectors read
// (JSON lines, RFC 5424, CEF, OCSF) and sends them to the collectors of an organisation,
// in order and at least once. It knows no HTTP interface and decides nobody's access.
package export
