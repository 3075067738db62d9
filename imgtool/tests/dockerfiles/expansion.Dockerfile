FROM base:1
ENV a=value empty= path=/usr/local/lib/archive.tar.gz
ENV one=${a} two=${none:-default} three=${empty:-default} four=${empty-kept} five=${a:+alternative}
ENV six=${none:+alternative}x seven=${none-minus} eight=${a+plus} nine=${none+plus}x
ENV ten=${path#*/} eleven=${path##*/} twelve=${path%.*} thirteen=${path%%.*}
ENV fourteen=${path/l/L} fifteen=${path//l/L} sixteen=${none:-${a}-nested} seventeen=\$a eighteen='$a' nineteen="$a" twenty="'$a'"
ENV self=$self:x self2=${self}y
ENV abc=hello
ENV abc=bye def=$abc
ENV ghi=$abc
ENV dollar=$ cost=5$ end=a$
ENV mixed=pre${a}post_$a.suffix under=$a_b
LABEL label=${a} "quoted key"="$a b" raw='$a' esc="a\"b"
RUN echo "$one $two $def" > /in-shell
