module github.com/muhlemmer/httpforwarded

go 1.26.0
