# syntax=docker/dockerfile:1
FROM base:1
ARG GREETING=hello
ENV NAME=world
RUN <<EOF
set -e
echo "$GREETING $NAME" > /one
echo 'single $NAME' >> /one
	echo tabbed > /tabbed
EOF
RUN <<-EOF
	mkdir -p /two
	echo "stripped" > /two/a
		echo deeper > /two/b
	EOF
RUN <<'EOF'
echo "$NAME" > /three
EOF
RUN <<"EOF"
echo "$NAME" > /four
EOF
RUN cat > /five <<EOF && echo after >> /five
$NAME in shell
EOF
RUN <<A cat > /six && cat <<B >> /six
first
A
second
B
RUN <<EOF
#!/bin/sh -e
echo "script $0" | /bin/busybox sed 's/ .*//' > /seven
EOF
RUN <<EOF
echo "a
EOF b" > /eight
EOF
