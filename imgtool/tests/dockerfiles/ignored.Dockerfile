FROM base:1
COPY . /context/
COPY dir /dir/
