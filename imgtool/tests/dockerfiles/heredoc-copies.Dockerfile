FROM base:1
ENV NAME=world
ARG WHO=arg
COPY <<EOF /expanded
name=$NAME who=${WHO} unset=[$UNSET] default=${UNSET:-d}
escaped=\$NAME quote="x" 'y' back\\slash
EOF
COPY <<'EOF' /raw
name=$NAME ${WHO} \$NAME
EOF
COPY <<-EOF /stripped
	one
		two
	  three
	EOF
COPY <<first.txt <<second.txt /several/
1
first.txt
2
second.txt
COPY --chmod=750 --chown=app:staff <<EOF /owned
x
EOF
COPY a.txt <<extra /mixed/
document
extra
ADD <<added /by-add/
content
added
COPY <<empty /empty
empty
