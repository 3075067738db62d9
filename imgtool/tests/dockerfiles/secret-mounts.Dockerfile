# options: --secret id=key,src=context/a.txt --secret id=other,src=context/b.txt
FROM base:1
RUN --mount=type=secret,id=key cat /run/secrets/key > /one && /bin/busybox stat -c '%a %u:%g' /run/secrets/key >> /one
RUN --mount=type=secret,id=key,target=/etc/token,mode=0444,uid=1000,gid=50 cat /etc/token > /two && /bin/busybox stat -c '%a %u:%g' /etc/token >> /two
RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent && echo none > /three
RUN --mount=type=secret,id=key,required=true --mount=type=secret,id=other,required cat /run/secrets/key /run/secrets/other > /four
RUN --mount=type=secret,target=/somewhere/key cat /somewhere/key > /five
