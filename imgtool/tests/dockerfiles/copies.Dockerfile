FROM base:1
COPY a.txt /plain
COPY a.txt b.txt /several/
COPY dir /dir
COPY dir/ /dir-slash/
COPY dir/. /dir-dot
COPY . /all/
COPY *.txt /glob/
COPY ?.txt /question/
COPY [ab].txt /class/
COPY dir/s* /subs/
COPY ["x y", "/with space"]
COPY toplink /followed
COPY dirlink /followed-directory
COPY empty /empty
WORKDIR /w/deep
COPY a.txt .
COPY a.txt name
COPY a.txt ../up
COPY dir/sub ./sub/
COPY /a.txt /absolute
COPY ./dir/../b.txt /dotted
COPY a.txt /etc/
COPY a.txt /home/app
COPY dir/link dir/sub /links/
