// Package protocol is every word that hub and agent say to each other.
package protocol
